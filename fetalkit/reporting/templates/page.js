"use strict";
// What a page offers beside its content, which is complete without: search over the report, and figures in large.

const made = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// Search: every page holds headings, captions and texts of all pages of its report.
const stored = document.getElementById("search-data");
if (stored) {
  const { pages, entries } = JSON.parse(stored.textContent);
  const form = document.getElementById("search");
  const input = form.querySelector("input");
  const found = document.getElementById("found");
  const most = 20;

  const look = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = [];
    if (words.join("").length > 1) {
      for (const [page, id, title, text] of entries) {
        const head = title.toLowerCase();
        const all = `${head} ${text.toLowerCase()}`;
        if (words.every((word) => all.includes(word))) {
          hits.push({ page, id, title, text, rank: words.every((word) => head.includes(word)) ? 0 : 1 });
        }
      }
      hits.sort((a, b) => a.rank - b.rank);
    }
    const around = (text) => {
      const at = text.lastIndexOf(" ", Math.max(0, text.toLowerCase().indexOf(words[0]) - 60)) + 1;
      return (at ? "… " : "") + text.slice(at, at + 160) + (text.length > at + 160 ? " …" : "");
    };
    const items = hits.slice(0, most).map(({ page, id, title, text }) => {
      const [file, label] = pages[page];
      const link = made("a", { href: `${file}#${encodeURIComponent(id)}` }, title);
      return made("li", {}, link, made("span", {}, ` ${label}`), made("p", {}, around(text)));
    });
    const count = hits.length > most ? `${hits.length} places, the first ${most}:` : `${hits.length} places`;
    found.replaceChildren(...(words.length ? [made("p", {}, count), made("ol", {}, ...items)] : []));
    found.hidden = !words.length;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("input", look);
  form.parentElement.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      input.value = "";
      input.focus();
      look();
    }
  });
  // A result on the same page: the list is in the way of what was found.
  found.addEventListener("click", (event) => {
    if (event.target.closest("a")) {
      found.hidden = true;
    }
  });
}

// Figures in large: a button over each, a dialog for all, arrow keys from one to the next.
const figures = [...document.querySelectorAll("main figure")].filter((of) => of.querySelector("img, svg"));
if (figures.length) {
  const view = made("div", { className: "view", tabIndex: 0 });
  const caption = made("p", { id: "enlarged-caption" });
  const turn = (step) => show((figures.indexOf(dialog.shown) + step + figures.length) % figures.length);
  const button = (label, sign, action) => {
    const of = made("button", { type: "button", title: label, onclick: action }, sign);
    of.setAttribute("aria-label", label);
    return of;
  };
  const bar = made("div", { className: "bar" }, button("Earlier figure", "←", () => turn(-1)),
    button("Next figure", "→", () => turn(1)), button("Close", "✕", () => dialog.close()));
  const dialog = made("dialog", { className: "enlarged" }, bar, view, caption);
  dialog.setAttribute("aria-labelledby", "enlarged-caption");
  document.body.append(dialog);

  function show(number) {
    const figure = figures[number];
    const picture = figure.querySelector("img, svg").cloneNode(true);
    picture.removeAttribute("style");
    picture.removeAttribute("id");
    view.replaceChildren(picture);
    view.setAttribute("aria-label", "The figure; it scrolls where it is larger than the window");
    view.setAttribute("role", "region");
    caption.textContent = `Figure ${number + 1}. ${figure.querySelector("figcaption")?.textContent ?? ""}`;
    dialog.shown = figure;
    if (!dialog.open) {
      dialog.showModal();
    }
  }
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && event.target !== view) {
      turn(step);
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) {
      dialog.close();
    }
  });
  figures.forEach((figure, number) => {
    const open = button(`Enlarge figure ${number + 1}`, "⤢", () => show(number));
    open.className = "enlarge";
    figure.insertBefore(open, figure.querySelector("figcaption"));
    figure.querySelector("img, svg").addEventListener("click", () => show(number));
  });
}
