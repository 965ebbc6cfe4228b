// Long tables can be sorted and filtered; `Tables` is the class DataTable of the bundle before this.
for (const table of document.querySelectorAll(".fetalkit.sorts table")) {
  new Tables(table, {
    autoWidth: false,
    info: false,
    order: [],
    paging: false,
    layout: { topStart: "search", topEnd: null, bottomStart: null, bottomEnd: null },
    language: { search: "Filter the rows:", zeroRecords: "No row holds all of these words." },
  });
}
