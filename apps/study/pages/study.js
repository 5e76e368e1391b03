// The participant's page. The server decides what is shown where; this file shows and asks.

const study = decodeURIComponent(location.pathname.split("/").pop());
const api = `../api/study/${encodeURIComponent(study)}`;
const remembered = `realmat-study-${study}`;
const KEYS = {
  2: { ArrowLeft: "left", ArrowRight: "right" },
  3: { ArrowLeft: "left", ArrowUp: "middle", ArrowDown: "middle", ArrowRight: "right" },
};
const SIGNS = { left: "←", middle: "↑", right: "→" };
const RETRY_MILLISECONDS = [500, 1000, 2000, 4000, 8000];

const $ = (id) => document.getElementById(id);
const sections = ["consent", "trial", "done"];
let current = null;   // what the server said last
let shownAt = 0;      // when the pictures of it were all there
let ready = false;    // whether it may be answered

function show(name) {
  for (const section of sections) $(section).hidden = section !== name;
}

function complain(sentence) {
  $("problem").textContent = sentence;
  $("problem").hidden = !sentence;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// A vote that got lost on the way is sent again: the server counts it once.
async function ask(path, body) {
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await fetch(`${api}/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      const found = await answer.json().catch(() => ({}));
      if (answer.ok) { complain(""); return found; }
      if (answer.status < 500 && answer.status !== 429) {
        const error = new Error(found.detail || "Something went wrong.");
        error.status = answer.status;
        throw error;
      }
    } catch (error) {
      if (error.status) throw error;
    }
    if (attempt >= RETRY_MILLISECONDS.length) throw new Error("The server does not answer. Your choices so far are saved; please reload later.");
    complain("The connection is interrupted, trying again …");
    await pause(RETRY_MILLISECONDS[attempt]);
  }
}

async function guarded(work) {
  try { await work(); } catch (error) { complain(error.message); }
}

async function join() {
  const state = await ask("join", { consent: true, token: localStorage.getItem(remembered) || "" });
  localStorage.setItem(remembered, state.token);
  await present(state);
}

async function present(state) {
  current = state;
  ready = false;
  if (state.done) {
    show("done");
    $("more").hidden = !state.more;
    $("done-title").focus();
    return;
  }
  show("trial");
  $("progress-text").textContent = state.practice ? "Practice" : `Comparison ${state.position} of ${state.total - 1}`;
  $("progress").max = state.total;
  $("progress").value = state.position;
  $("question").textContent = state.question;
  $("prompt").textContent = `“${state.prompt}”`;
  $("practice").hidden = !state.practice;
  const choices = $("choices");
  choices.className = state.places.length === 3 ? "three" : "";
  const buttons = state.places.map((place, index) => {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.alt = `Material on the ${place === "middle" ? "middle" : place}`;
    image.src = `media/${encodeURIComponent(state.media[index])}`;
    image.draggable = false;
    const label = document.createElement("span");
    label.textContent = `${place} ${SIGNS[place]}`;
    button.append(image, label);
    button.dataset.place = place;
    button.addEventListener("click", () => guarded(() => choose(place)));
    return button;
  });
  choices.replaceChildren(...buttons);
  setEnabled(false);
  await Promise.all(buttons.map((button) => loaded(button.firstChild)));
  shownAt = performance.now();
  $("wait").textContent = "Look at both, then choose.";
  await pause(1000 * state.minimum_seconds + 50);
  if (current !== state) return;
  setEnabled(true);
  ready = true;
  $("wait").textContent = "";
}

// A picture that got lost on the way is asked for again; nobody judges what they cannot see.
async function loaded(image) {
  const address = image.src;
  for (const wait of RETRY_MILLISECONDS) {
    try { return await image.decode(); } catch { await pause(wait); }
    image.src = `${address}?again=${wait}`;
  }
  throw new Error("A picture could not be loaded: please reload this page.");
}

function setEnabled(enabled) {
  for (const button of [...$("choices").children, $("similar")]) button.disabled = !enabled;
}

async function choose(place) {
  if (!ready) return;
  ready = false;
  const state = current;
  const seconds = (performance.now() - shownAt) / 1000;
  setEnabled(false);
  const button = place === "similar" ? $("similar") : $("choices").querySelector(`[data-place=${place}]`);
  button.classList.add("chosen");
  let next;
  try {
    next = await ask("votes", { token: localStorage.getItem(remembered), trial: state.trial, choice: place, seconds });
  } catch (error) {
    if (error.status !== 409) {
      setEnabled(true);
      ready = true;
      throw error;
    }
    next = await ask("state", { token: localStorage.getItem(remembered) });
  } finally {
    button.classList.remove("chosen");
  }
  await present(next);
}

document.addEventListener("keydown", (event) => {
  if ($("trial").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const place = event.key === " " ? "similar" : current && !current.done ? KEYS[current.places.length][event.key] : undefined;
  if (!place) return;
  event.preventDefault();
  guarded(() => choose(place));
});

$("agree").addEventListener("change", () => { $("start").disabled = !$("agree").checked; });
$("start").addEventListener("click", () => guarded(join));
$("more").addEventListener("click", () => guarded(join));
$("similar").addEventListener("click", () => guarded(() => choose("similar")));

// Someone who was here before has agreed already and goes on where they were.
if (localStorage.getItem(remembered)) {
  guarded(async () => {
    try {
      await present(await ask("state", { token: localStorage.getItem(remembered) }));
    } catch (error) {
      if (error.status !== 401) throw error;
      localStorage.removeItem(remembered);
      complain("");
      show("consent");
    }
  });
} else {
  show("consent");
}
