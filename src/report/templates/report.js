(() => {
  "use strict";
  const form = document.getElementById("filters");
  if (!form) return;
  const list = document.getElementById("cards");
  const none = document.getElementById("none");
  const status = form.querySelector("output");
  // The page comes with the most probable finding first.
  const cards = Array.from(list.querySelectorAll("article"), (node, position) => ({
    node,
    position,
    brand: node.dataset.brand,
    kind: node.dataset.kind,
    verdict: node.dataset.verdict,
    text: node.textContent.toLowerCase(),
  }));
  const orders = {
    down: (a, b) => a.position - b.position,
    up: (a, b) => b.position - a.position,
    brand: (a, b) => a.brand.localeCompare(b.brand) || a.position - b.position,
  };
  let order = "down";

  const sort = (wanted) => {
    if (wanted === order) return;
    order = wanted;
    const sorted = cards.slice().sort(orders[order]);
    list.append(...sorted.map((card) => card.node));
  };

  const apply = () => {
    const chosen = new FormData(form);
    const words = chosen.get("text").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const fits =
        ["brand", "kind", "verdict"].every((name) => !chosen.get(name) || chosen.get(name) === card[name]) &&
        words.every((word) => card.text.includes(word));
      card.node.hidden = !fits;
      if (fits) shown += 1;
    }
    sort(chosen.get("order"));
    none.hidden = shown > 0;
    status.textContent = shown === cards.length ? `${shown} shown` : `${shown} of ${cards.length} shown`;
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  form.hidden = false;
  apply();
})();
