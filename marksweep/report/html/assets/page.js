"use strict";
/* The page: what is asked for, in words and as rows; light and dark; paper. */

(() => {
  const byId = (id) => document.getElementById(id);
  const selects = ["project", "reason", "age", "size"];
  const asked = { search: "", project: "", reason: "", age: "", size: "", artifact: null };
  const FIRST = { column: "bytes", descending: true };
  let order = { ...FIRST };
  let rows = new Uint32Array(0);

  function update() {
    rows = Entries.select(asked, order.column, order.descending);
    Grid.show(rows, order.column, order.descending);
    const bytes = Words.size(Entries.bytesOf(rows));
    const all = rows.length === Entries.total ? `All ${Words.counted(Entries.total, "entry", "entries")}` : `${Words.count(rows.length)} of ${Words.counted(Entries.total, "entry", "entries")}`;
    const cut = rows.length > Grid.MOST ? `; the table scrolls through the first ${Words.count(Grid.MOST)}: search or filter for the others` : "";
    byId("shown").textContent = `${all}, ${bytes}${cut}`;
    const chip = byId("artifact");
    chip.hidden = asked.artifact === null;
    chip.textContent = asked.artifact === null ? "" : `Artifact ${Entries.artifacts[asked.artifact][2]} ×`;
    for (const name of selects) byId(name).value = asked[name];
    for (const button of document.querySelectorAll("button.slice")) {
      button.setAttribute("aria-pressed", String(asked[button.dataset.filter] === button.dataset.value));
    }
  }

  function sort(column) {
    const numeric = Grid.columns.find(({ name }) => name === column).number;
    if (order.column !== column) order = { column, descending: Boolean(numeric) };
    else order = { column, descending: !order.descending };
    update();
  }

  function choices(name, labels) {
    for (const label of labels) {
      const option = document.createElement("option");
      option.value = label;
      option.textContent = label;
      byId(name).append(option);
    }
    byId(name).addEventListener("change", (event) => {
      asked[name] = event.target.value;
      update();
    });
  }

  function reset() {
    order = { ...FIRST };
    Object.assign(asked, { search: "", project: "", reason: "", age: "", size: "", artifact: null });
    byId("search").value = "";
    update();
  }

  function filters() {
    choices("project", [...new Set(Entries.artifacts.map(([project]) => project))].sort());
    choices("reason", Entries.reasons);
    choices("age", Facts.ages.map(({ label }) => label));
    choices("size", [...Facts.sizes.map(({ label }) => label), Facts.larger, Facts.unknown, Facts.shared]);
    byId("search").addEventListener("input", (event) => {
      asked.search = event.target.value;
      update();
    });
    byId("artifact").addEventListener("click", () => {
      asked.artifact = null;
      update();
      byId("search").focus();
    });
    byId("reset").addEventListener("click", reset);
    for (const button of document.querySelectorAll("button.slice")) {
      button.addEventListener("click", () => {
        const { filter, value } = button.dataset;
        asked[filter] = asked[filter] === value ? "" : value;
        update();
      });
    }
  }

  function theme() {
    const button = byId("theme");
    let dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const label = () => { button.textContent = dark ? "Light" : "Dark"; };
    label();
    button.addEventListener("click", () => {
      dark = !dark;
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      label();
    });
  }

  /* On paper: the first rows of what is shown on the screen, and how many are not printed. */
  function paper() {
    const table = byId("printed");
    const some = rows.subarray(0, Facts.printed);
    const shown = ["artifact", "version", "project", "age", "bytes", "uri"].map((wanted) => Grid.columns.find(({ name }) => name === wanted));
    table.tHead.rows[0].cells[3].textContent = "age";
    table.tBodies[0].replaceChildren(...Array.from(some, (row) => {
      const line = document.createElement("tr");
      for (const column of shown) {
        const cell = line.insertCell();
        cell.textContent = column.show(row);
        if (column.number) cell.className = "number";
      }
      return line;
    }));
    const filtered = rows.length < Entries.total ? ` The filters leave out ${Words.count(Entries.total - rows.length)} of the plan's ${Words.counted(Entries.total, "entry", "entries")}.` : "";
    const more = rows.length - some.length;
    table.caption.textContent = more
      ? `The first ${Words.count(some.length)} of ${Words.counted(rows.length, "entry", "entries")}, sorted by ${order.column}. ${Words.count(more)} more are not printed.${filtered}`
      : `${Words.counted(some.length, "entry", "entries")}.${filtered}`;
  }

  document.documentElement.dataset.scripts = "on"; // shows what needs scripts, so that it can be measured
  filters();
  theme();
  Grid.start(sort);
  update();
  Treemap.start((artifact) => {
    asked.artifact = artifact;
    update();
    byId("entries").scrollIntoView();
    byId("grid").focus({ preventScroll: true });
  });
  byId("print").addEventListener("click", () => print());
  addEventListener("beforeprint", paper);
  document.documentElement.dataset.ready = "yes";
})();
