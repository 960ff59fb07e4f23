// What forms cannot do alone: dropping and pasting pictures, errors beside the form, overlays.

/** Runs `work` for each element of `root` that `selector` names. */
function each(root, selector, work) {
  root.querySelectorAll(selector).forEach((element) => work(element));
}

/** Sets up everything below `root`, the page or a part that has been replaced. */
function enliven(root) {
  each(root, "[data-drop]", enlivenDrop);
  each(root, "form[data-send]", (form) => onSubmit(form, follow));
  each(root, "form[data-replace]", (form) => onSubmit(form, replaceMain));
  each(root, "[data-overlay]", enlivenOverlay);
  each(root, "[data-load]", load);
  each(root, "[data-live]", live);
}

// Pictures

function enlivenDrop(area) {
  const input = area.querySelector("input[type=file]");
  const leave = () => area.classList.remove("over");
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  area.addEventListener("dragleave", leave);
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    leave();
    take(input, event.dataTransfer.files);
  });
  input.addEventListener("change", () => taken(area, input));
}

/** Gives a file input what was dropped or pasted, as if it had been chosen. */
function take(input, files) {
  if (files.length === 0) {
    return;
  }
  const kept = new DataTransfer();
  for (const file of input.multiple ? files : [files[0]]) {
    kept.items.add(file);
  }
  input.files = kept.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function taken(area, input) {
  const previews = area.querySelector("[data-previews]");
  if (previews) {
    previews.replaceChildren(...Array.from(input.files, preview));
  }
  if ("once" in area.dataset && input.files.length > 0) {
    input.form.requestSubmit();
  }
}

function preview(file) {
  const image = document.createElement("img");
  image.alt = file.name;
  image.src = URL.createObjectURL(file);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => {
    // A format that only the server reads.
    const name = document.createElement("span");
    name.textContent = file.name;
    image.replaceWith(name);
  });
  return image;
}

document.addEventListener("paste", (event) => {
  const input = document.querySelector("[data-drop] input[type=file]");
  if (input && event.clipboardData.files.length > 0) {
    event.preventDefault();
    take(input, event.clipboardData.files);
  }
});

// A picture that misses its place must not take the page away.
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => event.preventDefault());
}

// Forms

/** Sends the form and hands a good answer to `use`; an error is told beside the form, which keeps its files. */
function onSubmit(form, use) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [error, busy] = ["[data-error]", "[data-busy]"].map((s) => form.querySelector(s) ?? document.createElement("p"));
    const body = new FormData(form, event.submitter);
    const wait = (is) => {
      each(form, "button", (button) => (button.disabled = is));
      busy.hidden = !is;
    };
    error.hidden = true;
    wait(true);
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: form.enctype === "multipart/form-data" ? body : new URLSearchParams(body),
        headers: { accept: "application/json" },
      });
      if (!answer.ok) throw new Error((await answer.json()).detail);
      await use(answer);
    } catch (cause) {
      error.textContent = cause instanceof TypeError ? "The server cannot be reached." : cause.message;
      error.hidden = false;
    }
    wait(false);
  });
}

function follow(answer) {
  location.assign(answer.url);
}

async function replaceMain(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = document.querySelector("main");
  abandoned.abort();
  abandoned = new AbortController();
  main.replaceChildren(...page.querySelector("main").childNodes);
  if (answer.redirected) {
    history.replaceState(null, "", answer.url);
  }
  enliven(main);
  main.querySelector("[data-focus]")?.focus({ preventScroll: true });
  main.querySelector("[data-focus]")?.scrollIntoView({ block: "nearest" });
}

// Parts that take a while

/** Ends what the page that has been left was still waiting for. */
let abandoned = new AbortController();

async function load(place) {
  const signal = abandoned.signal;
  try {
    const answer = await fetch(place.dataset.load, { signal, headers: { accept: "application/json" } });
    if (!answer.ok) return;
    const part = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...part.body.childNodes);
    enliven(place);
  } catch {
    // What stands there already is true as well.
  }
}

/** Fetches the page anew every second and shows the same part of it, until that is live no longer. */
async function live(part) {
  const signal = abandoned.signal;
  await new Promise((done) => setTimeout(done, 1000));
  if (signal.aborted || !part.isConnected) return;
  let next = part;
  try {
    const answer = await fetch(part.dataset.live, { signal, headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.querySelector("main");
    if (answer.ok && main && !page.querySelector("[data-live]")) {
      document.querySelector("main").replaceChildren(...main.childNodes);
      enliven(document.querySelector("main"));
      return;
    }
    next = page.querySelector("[data-live]") ?? part;
  } catch {
    // A server that restarts answers again in a moment.
  }
  if (next !== part) part.replaceWith(next);
  live(next);
}

// Keys

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=checkbox]), textarea, select");
  if (event.key === "Escape" && isTyping) {
    event.target.blur();
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const target = document.querySelector(`main [data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (target) {
    event.preventDefault();
    target.matches("input:not([type=checkbox])") ? target.focus() : target.click();
  }
});

/** Links within the queue change the page without loading it anew. */
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) {
    return;
  }
  event.preventDefault();
  const answer = await fetch(link.href).catch(() => null);
  if (!answer?.ok) {
    location.assign(link.href);
    return;
  }
  history.pushState(null, "", link.href);
  await replaceMain(answer);
});

window.addEventListener("popstate", () => location.reload());

// Overlays

/** Lays the registered picture over the photo, as the transform says, and lets it be faded. */
function enlivenOverlay(figure) {
  const [stage, clip, over] = [".stage", ".clip", ".over"].map((s) => figure.querySelector(s));
  const numbers = (text) => text.split(" ").map(Number);
  const transform = numbers(figure.dataset.transform);
  const view = numbers(figure.dataset.view);
  const place = () => placeOverlay(stage, clip, over, transform, view);
  const fade = figure.querySelector("input[type=range]");
  fade.addEventListener("input", () => {
    over.style.opacity = fade.value / 100;
  });
  figure.querySelector("[data-difference]").addEventListener("change", (event) => {
    stage.classList.toggle("differs", event.target.checked);
    fade.value = event.target.checked ? 100 : 50;
    over.style.opacity = fade.value / 100;
  });
  figure.hidden = false;
  new ResizeObserver(place).observe(stage);
}

/** `transform`, row by row, takes pixels of the picture to pixels of the photo, of which `view` is shown. */
function placeOverlay(stage, clip, over, transform, [left, top, width, height]) {
  const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const [w, h] = [width * scale, height * scale];
  Object.assign(clip.style, {
    left: `${(stage.clientWidth - w) / 2}px`,
    top: `${(stage.clientHeight - h) / 2}px`,
    width: `${w}px`,
    height: `${h}px`,
  });
  const [a, b, c, d, e, f, g, i, j] = transform;
  const shifted = (u, v, origin) => scale * (u - origin * v);
  const x = [a, b, c].map((value, k) => shifted(value, [g, i, j][k], left));
  const y = [d, e, f].map((value, k) => shifted(value, [g, i, j][k], top));
  over.style.transform = `matrix3d(${x[0]},${y[0]},0,${g}, ${x[1]},${y[1]},0,${i}, 0,0,1,0, ${x[2]},${y[2]},0,${j})`;
}

enliven(document);
