"use strict";
/* The table of all entries: only the rows in sight are in the page. The grid has the focus and names its active cell. */

const Grid = (() => {
  const HEIGHT = 32; // pixels of a row, as in parts.css
  const MOST = 500000; // rows: browsers place nothing farther down than about 17 million pixels
  const { text, number, artifacts, reasons } = Entries;
  const artifact = (row) => artifacts[number.artifact[row]];
  const columns = [
    { name: "artifact", title: "Artifact", show: (row) => artifact(row)[2] },
    { name: "version", title: "Version", show: (row) => text.version[row] },
    { name: "project", title: "Project", show: (row) => artifact(row)[0] },
    { name: "age", title: "Age", number: true, show: (row) => Words.age(number.age[row]) },
    { name: "bytes", title: "Size", number: true, show: (row) => (number.unit[row] < 0 ? Words.size(number.bytes[row]) : "shared") },
    { name: "objects", title: "Objects", number: true, show: (row) => (Number.isNaN(number.objects[row]) ? "unknown" : Words.count(number.objects[row])) },
    { name: "reason", title: "Reason", show: (row) => reasons[number.reason[row]] },
    { name: "uri", title: "URI", show: (row) => text.uri[row] },
    { name: "id", title: "Id", show: (row) => text.id[row] },
  ];
  const grid = document.getElementById("grid");
  const detail = document.getElementById("detail");
  let rows = new Uint32Array(0);
  let active = { row: -1, column: 0 }; // row -1 is the heading
  let onSort = () => {};

  const make = (kind, role, className) => {
    const element = document.createElement(kind);
    element.setAttribute("role", role);
    element.className = className;
    return element;
  };
  const head = make("div", "row", "row head");
  const body = make("div", "rowgroup", "body");
  const headings = columns.map((column, at) => {
    const cell = make("div", "columnheader", column.number ? "cell number" : "cell");
    cell.id = `heading-${at}`;
    cell.setAttribute("aria-colindex", at + 1);
    cell.textContent = column.title;
    cell.addEventListener("click", () => {
      active = { row: -1, column: at };
      onSort(column.name);
    });
    return head.appendChild(cell);
  });
  head.setAttribute("aria-rowindex", 1);
  grid.setAttribute("aria-colcount", columns.length);
  grid.append(head, body);

  const options = () => ({
    count: Math.min(rows.length, MOST),
    getScrollElement: () => grid,
    estimateSize: () => HEIGHT,
    scrollMargin: HEIGHT,
    scrollPaddingStart: HEIGHT,
    overscan: 6,
    scrollToFn: TanStackVirtual.elementScroll,
    observeElementRect: TanStackVirtual.observeElementRect,
    observeElementOffset: TanStackVirtual.observeElementOffset,
    onChange: render,
  });
  const virtual = new TanStackVirtual.Virtualizer(options());

  function line({ index, start }) {
    const row = rows[index];
    const element = make("div", "row", index === active.row ? "row active" : "row");
    element.setAttribute("aria-rowindex", index + 2);
    element.setAttribute("aria-selected", String(index === active.row));
    element.style.transform = `translateY(${start - HEIGHT}px)`;
    columns.forEach((column, at) => {
      const cell = make("div", "gridcell", column.number ? "cell number" : "cell");
      cell.setAttribute("aria-colindex", at + 1);
      cell.textContent = column.show(row);
      if (index === active.row && at === active.column) {
        cell.id = "active-cell";
        cell.classList.add("active");
      }
      element.append(cell);
    });
    element.addEventListener("mousedown", (event) => {
      const at = [...element.children].indexOf(event.target);
      active = { row: index, column: Math.max(at, 0) };
      activated();
    });
    return element;
  }

  function render() {
    body.style.height = `${virtual.getTotalSize()}px`;
    body.replaceChildren(...virtual.getVirtualItems().map(line));
    headings.forEach((cell, at) => cell.classList.toggle("active", active.row < 0 && at === active.column));
    const name = active.row < 0 ? headings[active.column].id : body.querySelector("#active-cell") && "active-cell";
    if (name) grid.setAttribute("aria-activedescendant", name);
    else grid.removeAttribute("aria-activedescendant");
  }

  /* Show the entry of the active row in full. */
  function describe() {
    const row = rows[active.row];
    const facts = active.row < 0 || row === undefined ? [] : [
      ["Artifact", `${artifact(row)[2]} ${text.version[row]}`],
      ["Project", artifact(row)[0]],
      ["Place", text.uri[row]],
      ["Id", text.id[row]],
      ["Extent", number.unit[row] < 0 ? `${Words.size(number.bytes[row])} in ${columns[5].show(row)} objects` : `in the place of ${text.id[number.unit[row]]}, which counts its objects and bytes`],
      ["Age", `${Words.age(number.age[row])} at the mark`],
      ["Reason", reasons[number.reason[row]]],
    ];
    detail.replaceChildren(...facts.flatMap(([label, value]) => {
      const term = document.createElement("dt");
      const description = document.createElement("dd");
      term.textContent = label;
      description.textContent = value;
      return [term, description];
    }));
  }

  function activated() {
    if (active.row >= 0) virtual.scrollToIndex(active.row, { align: "auto" });
    render();
    describe();
    const cell = active.row < 0 ? headings[active.column] : body.querySelector("#active-cell");
    if (cell) sideways(cell);
  }

  function sideways(cell) {
    const left = cell.offsetLeft;
    if (left < grid.scrollLeft) grid.scrollLeft = left;
    else if (left + cell.offsetWidth > grid.scrollLeft + grid.clientWidth) grid.scrollLeft = left + cell.offsetWidth - grid.clientWidth;
  }

  grid.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(grid.clientHeight / HEIGHT) - 2);
    const last = Math.min(rows.length, MOST) - 1;
    const far = event.ctrlKey;
    const moves = {
      ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageDown: [page, 0], PageUp: [-page, 0],
      Home: [far ? -Infinity : 0, -Infinity], End: [far ? Infinity : 0, Infinity],
    };
    if (event.key in moves) {
      const [down, right] = moves[event.key];
      const least = event.key === "ArrowUp" || active.row < 0 ? -1 : 0;
      active = {
        row: Math.min(Math.max(active.row + down, least), last),
        column: Math.min(Math.max(active.column + right, 0), columns.length - 1),
      };
      activated();
    } else if ((event.key === "Enter" || event.key === " ") && active.row < 0) {
      onSort(columns[active.column].name);
    } else {
      return;
    }
    event.preventDefault();
  });

  /* Show *some* rows, sorted by *column* (null: plan order). */
  function show(some, column, descending) {
    rows = some;
    active = { row: -1, column: Math.max(0, columns.findIndex(({ name }) => name === column)) };
    grid.setAttribute("aria-rowcount", rows.length + 1);
    headings.forEach((cell, at) => {
      const direction = descending ? "descending" : "ascending";
      cell.setAttribute("aria-sort", columns[at].name === column ? direction : "none");
    });
    virtual.setOptions(options());
    virtual._willUpdate();
    grid.scrollTop = 0;
    render();
    describe();
  }

  function start(sort) {
    onSort = sort;
    virtual._didMount();
  }

  return { show, start, columns, MOST };
})();
