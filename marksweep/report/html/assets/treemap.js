"use strict";
/* Where the bytes are: projects, their pipelines, and the pipelines' artifacts, as areas that can be opened. */

const Treemap = (() => {
  const MOST = 40; // areas beside each other: more cannot be told apart, and are pooled into one that can be opened
  const HEADING = 20; // pixels above what an area holds
  const LETTER = 7.2; // pixels of a letter, about
  const map = document.getElementById("map");
  const crumbs = document.getElementById("crumbs");
  const note = document.getElementById("map-note");
  const rest = document.getElementById("map-rest");
  let onArtifact = () => {};
  let measure = "bytes";
  let path = [];
  let areas = [];
  let tiny = 0; // entries whose areas are too small to be drawn

  const root = grow();

  /* The whole plan as a tree: { name, entries, bytes, unknown, children } with { artifact } at the leaves. */
  function grow() {
    const { artifacts, number } = Entries;
    const leaves = artifacts.map(([project, pipeline, name], at) => ({ project, pipeline, name, artifact: at, entries: 0, bytes: 0, unknown: 0 }));
    for (let row = 0; row < Entries.total; row++) {
      const leaf = leaves[number.artifact[row]];
      leaf.entries += 1;
      if (Number.isNaN(number.bytes[row])) leaf.unknown += 1;
      else leaf.bytes += number.bytes[row];
    }
    const gather = (nodes, by, name, deeper) => [...Map.groupBy(nodes, by)].map(([key, some]) => sum(name(key), deeper ? deeper(some) : some));
    const pipelines = (some) => gather(some, (leaf) => leaf.pipeline, (key) => key || "named by hand");
    return sum("All projects", gather(leaves, (leaf) => leaf.project, (key) => key, pipelines));
  }

  function sum(name, children) {
    const total = (member) => children.reduce((found, child) => found + child[member], 0);
    return { name, children, entries: total("entries"), bytes: total("bytes"), unknown: total("unknown") };
  }

  /* The children of *node*, the biggest first, with the smallest pooled into one. */
  function pooled(node) {
    const children = node.children.filter((child) => child[measure] > 0).sort((a, b) => b[measure] - a[measure]);
    if (children.length <= MOST) return children;
    const small = children.slice(MOST - 1);
    return [...children.slice(0, MOST - 1), { ...sum(`${Words.count(small.length)} smaller ones`, small), pool: true }];
  }

  const extent = (node) => {
    const unknown = node.unknown ? `, ${Words.counted(node.unknown, "size", "sizes")} unknown` : "";
    const share = root[measure] ? `, ${((100 * node[measure]) / root[measure]).toFixed(1)} %` : "";
    return `${Words.counted(node.entries, "entry", "entries")}, ${Words.size(node.bytes)}${unknown}${share}`;
  };

  const shortened = (node, above) => (above && above.children && node.name.startsWith(`${above.name}::`) ? node.name.slice(above.name.length + 2) : node.name);

  function area(node, within, box, hue, className) {
    const above = within.at(-1) ?? path.at(-1);
    const element = document.createElement("button");
    element.type = "button";
    element.tabIndex = -1;
    element.className = `area hue-${hue % 8} ${className}`;
    const opens = node.children ? "opens" : "shows its entries in the table";
    element.setAttribute("aria-label", `${node.name}: ${extent(node)}; ${opens}`);
    for (const side of ["left", "width"]) element.style[side] = `${(100 * box[side]) / map.clientWidth}%`;
    for (const side of ["top", "height"]) element.style[side] = `${(100 * box[side]) / map.clientHeight}%`;
    const name = document.createElement("span");
    const size = document.createElement("span");
    name.textContent = shortened(node, above);
    size.textContent = measure === "bytes" ? Words.size(node.bytes) : Words.count(node.entries);
    size.className = "extent";
    const frame = className.startsWith("frame");
    const room = (box.width - 14) / LETTER - (frame ? name.textContent.length + 1 : 0);
    element.classList.toggle("bare", box.width < 40 || box.height < 17);
    element.classList.toggle("brief", size.textContent.length > room || (box.height < 34 && !frame));
    element.append(name, size);
    element.addEventListener("click", () => open([...within, node]));
    element.addEventListener("focus", () => tell(node));
    element.addEventListener("mouseenter", () => tell(node));
    return { element, node, box };
  }

  function tell(node) {
    note.textContent = `${node.name}: ${extent(node)}`;
  }

  /* What lies in the place that is open, down to the artifacts; an area too small for its heading shows nothing inside. */
  function draw() {
    const here = path.at(-1) ?? root;
    map.replaceChildren();
    areas = [];
    tiny = 0;
    fill(here, [], { left: 0, top: 0, width: map.clientWidth, height: map.clientHeight }, -1);
    map.append(...areas.map(({ element }) => element));
    if (areas.length) areas[0].element.tabIndex = 0;
    trail();
    remark(here);
  }

  /* Lay the children of *node* out in *box* (pixels); *within*: the nodes that lie between what is open and them. */
  function fill(node, within, box, hue) {
    const children = pooled(node).map((child) => ({ node: child }));
    const tree = d3.hierarchy({ children }).sum((point) => (point.node ? point.node[measure] : 0));
    d3.treemap().size([box.width, box.height]).paddingInner(2).round(true)(tree);
    (children.length ? tree.children : []).forEach((point, at) => {
      const { node: child } = point.data;
      const place = { left: box.left + point.x0, top: box.top + point.y0, width: point.x1 - point.x0, height: point.y1 - point.y0 };
      if (place.width < 3 || place.height < 3) {
        tiny += child.entries;
        return;
      }
      const own = hue < 0 ? at : hue;
      const frame = child.children && !child.pool && place.width >= 64 && place.height >= 48;
      areas.push(area(child, within, place, own, `${frame ? "frame" : "leaf"} level-${within.length}`));
      if (!frame) return;
      const inner = { left: place.left + 2, top: place.top + HEADING, width: place.width - 4, height: place.height - HEADING - 2 };
      fill(child, [...within, child], inner, own);
    });
  }

  /* The entries of the artifacts that have none of what is measured. */
  const without = (node) => (node.children ? node.children.reduce((found, child) => found + without(child), 0) : node[measure] ? 0 : node.entries);

  function remark(here) {
    const entries = without(here);
    const none = entries ? `${Words.counted(entries, "entry has", "entries have")} no area here: no bytes of theirs are known.` : "";
    const small = tiny ? `The areas of ${Words.counted(tiny, "entry", "entries")} are too small to be drawn.` : "";
    rest.textContent = `${none} ${small}`.trim();
    tell(here);
  }

  function open(nodes) {
    const last = nodes.at(-1);
    if (last.artifact !== undefined) {
      onArtifact(last.artifact);
      return;
    }
    path = [...path, ...nodes];
    draw();
    areas[0]?.element.focus();
  }

  function up(depth) {
    path = path.slice(0, depth);
    draw();
    areas[0]?.element.focus();
  }

  function trail() {
    const steps = [root, ...path];
    crumbs.replaceChildren(...steps.map((node, depth) => {
      const step = document.createElement("button");
      step.type = "button";
      step.textContent = node.name;
      if (depth === steps.length - 1) step.setAttribute("aria-current", "location");
      step.addEventListener("click", () => up(depth));
      return step;
    }));
  }

  /* The area nearest to *from* in a direction. */
  function neighbour(from, [right, down]) {
    const middle = ({ left, top, width, height }) => [left + width / 2, top + height / 2];
    const [x, y] = middle(from.box);
    let best = null;
    for (const candidate of areas) {
      const [cx, cy] = middle(candidate.box);
      const ahead = (cx - x) * right + (cy - y) * down;
      const aside = Math.abs((cx - x) * down) + Math.abs((cy - y) * right);
      if (candidate === from || ahead <= 0.01) continue;
      const distance = ahead + 2 * aside;
      if (!best || distance < best.distance) best = { candidate, distance };
    }
    return best?.candidate;
  }

  map.addEventListener("keydown", (event) => {
    const directions = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const from = areas.find(({ element }) => element === document.activeElement);
    if (event.key in directions && from) {
      const next = neighbour(from, directions[event.key]);
      if (next) {
        from.element.tabIndex = -1;
        next.element.tabIndex = 0;
        next.element.focus();
      }
    } else if (event.key === "Escape" && path.length) {
      up(path.length - 1);
    } else {
      return;
    }
    event.preventDefault();
  });

  /* *artifact* is called with the number of an artifact whose entries are asked for. */
  function start(artifact) {
    onArtifact = artifact;
    const choices = [...document.querySelectorAll("[data-measure]")];
    const choose = (wanted) => {
      measure = wanted;
      for (const button of choices) button.setAttribute("aria-pressed", String(button.dataset.measure === wanted));
      draw();
    };
    for (const button of choices) button.addEventListener("click", () => choose(button.dataset.measure));
    choose(root.bytes ? "bytes" : "entries");
    new ResizeObserver(() => draw()).observe(map);
  }

  return { start };
})();
