"use strict";
/* The plan's entries in columns, and which of them are asked for. Every text here was made plain when it was written. */

const Facts = JSON.parse(document.getElementById("facts").textContent);

const Words = {
  count: (number) => number.toLocaleString("en-US"),
  counted: (number, one, many) => `${Words.count(number)} ${number === 1 ? one : many}`,
  size(bytes) {
    if (Number.isNaN(bytes)) return "unknown";
    if (bytes < 1024) return `${bytes} B`;
    const units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let amount = bytes / 1024;
    let unit = 0;
    while (amount >= 1023.95 && unit < units.length - 1) [amount, unit] = [amount / 1024, unit + 1];
    return `${amount.toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ${units[unit]}`;
  },
  age(seconds) {
    const days = Math.floor(seconds / 86400);
    if (days < 1) return seconds < 0 ? "after the mark" : `${Math.floor(seconds / 3600)} h`;
    if (days < 730) return Words.counted(days, "day", "days");
    return `${(days / 365.25).toFixed(1)} years`;
  },
};

const Entries = (() => {
  const artifacts = []; // each: project, pipeline, name
  const reasons = [];
  const text = { version: [], uri: [], id: [] };
  const number = { artifact: [], objects: [], bytes: [], age: [], unit: [], reason: [] };

  for (const element of document.querySelectorAll("script.entries")) {
    const block = JSON.parse(element.textContent);
    element.remove();
    for (const artifact of block.artifacts) artifacts.push(artifact);
    for (let at = 0; at < block.id.length; at++) {
      const before = text.uri.length ? text.uri[text.uri.length - 1] : "";
      text.uri.push(before.slice(0, block.shared[at]) + block.rest[at]);
      text.version.push(block.version[at]);
      text.id.push(block.id[at]);
      number.artifact.push(block.artifact[at]);
      number.objects.push(block.objects[at] ?? NaN);
      number.bytes.push(block.bytes[at] ?? NaN);
      number.age.push(block.age[at]);
      number.unit.push(block.unit[at]);
      let reason = reasons.indexOf(block.reason[at]);
      if (reason < 0) reason = reasons.push(block.reason[at]) - 1;
      number.reason.push(reason);
    }
  }
  for (const name of Object.keys(number)) number[name] = Float64Array.from(number[name]);
  const total = text.id.length;
  const names = artifacts.map((artifact) => artifact.join("\n").toLowerCase());
  const searched = text.uri.map((uri, row) => `${uri}\n${text.id[row]}\n${text.version[row]}`.toLowerCase());

  const ageOf = (seconds) => (Facts.ages.findLast((slice) => seconds >= slice.from) ?? Facts.ages[0]).label;
  function sizeOf(row) {
    if (number.unit[row] >= 0) return Facts.shared;
    const bytes = number.bytes[row];
    if (Number.isNaN(bytes)) return Facts.unknown;
    return (Facts.sizes.find((slice) => bytes <= slice.to) ?? { label: Facts.larger }).label;
  }

  /* One number per row by which a column sorts. */
  const keys = {
    artifact: () => ranks(artifacts.map((artifact) => artifact[2]), number.artifact),
    project: () => ranks(artifacts.map((artifact) => artifact[0]), number.artifact),
    version: () => ranks(text.version, null, new Intl.Collator("en", { numeric: true }).compare),
    id: () => ranks(text.id),
    uri: () => ranks(text.uri),
    age: () => number.age,
    bytes: () => number.bytes.map((bytes) => (Number.isNaN(bytes) ? -1 : bytes)),
    objects: () => number.objects.map((objects) => (Number.isNaN(objects) ? -1 : objects)),
    reason: () => ranks(reasons, number.reason),
  };
  const sorted = new Map();

  /* The rank of each value among *values*, by code units unless *compare* says otherwise; looked up by *which* if given. */
  function ranks(values, which, compare) {
    const rank = new Map([...new Set(values)].sort(compare).map((value, at) => [value, at]));
    const of = Float64Array.from(values, (value) => rank.get(value));
    return which ? which.map((at) => of[at]) : of;
  }

  /* All rows in the order of a column; equal ones stay in plan order. */
  function ordered(column, descending) {
    const name = `${column} ${descending}`;
    if (!sorted.has(name)) {
      const key = keys[column]();
      const sign = descending ? -1 : 1;
      sorted.set(name, Uint32Array.from(key.keys()).sort((a, b) => sign * (key[a] - key[b]) || a - b));
    }
    return sorted.get(name);
  }

  /* The rows asked for, in order. *asked*: search, project, reason, age, size (labels; empty for all), artifact (null for all). */
  function select(asked, column, descending) {
    const order = column ? ordered(column, descending) : Uint32Array.from({ length: total }, (_, row) => row);
    const terms = asked.search.toLowerCase().split(/\s+/).filter(Boolean).map((term) => ({ term, named: names.map((name) => name.includes(term)) }));
    const possible = artifacts.map((artifact, at) => (!asked.project || artifact[0] === asked.project) && (asked.artifact === null || at === asked.artifact));
    const reason = asked.reason ? reasons.indexOf(asked.reason) : -1;
    const found = new Uint32Array(total);
    let count = 0;
    for (const row of order) {
      const artifact = number.artifact[row];
      if (!possible[artifact]) continue;
      if (reason >= 0 && number.reason[row] !== reason) continue;
      if (asked.age && ageOf(number.age[row]) !== asked.age) continue;
      if (asked.size && sizeOf(row) !== asked.size) continue;
      if (!terms.every(({ term, named }) => named[artifact] || searched[row].includes(term))) continue;
      found[count++] = row;
    }
    return found.subarray(0, count);
  }

  /* The bytes of *rows* together; NaN if one's are unknown. */
  function bytesOf(rows) {
    let sum = 0;
    for (const row of rows) sum += number.bytes[row];
    return sum;
  }

  return { total, artifacts, reasons, text, number, select, bytesOf };
})();
