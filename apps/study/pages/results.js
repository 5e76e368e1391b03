// The owner's page: asks for the results with the owner's token and draws them.

const path = location.pathname.split("/");
const api = `../../api/study/${path[path.length - 2]}`;
const $ = (id) => document.getElementById(id);
const downloads = document.querySelectorAll("button.download");
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const interval = (bounds) => (bounds ? `${(100 * bounds[0]).toFixed(1)} – ${(100 * bounds[1]).toFixed(1)} %` : "");

async function get(name) {
  const answer = await fetch(`${api}/${name}`, { headers: { Authorization: `Bearer ${$("token").value}` } });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || "The results cannot be shown.");
  return answer;
}

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function drawn(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// Bars of the shares with their intervals.
function chart(shares) {
  const names = Object.keys(shares);
  const label = 150, width = 480, row = 30;
  const picture = drawn("svg", { viewBox: `0 0 ${label + width + 70} ${row * names.length + 6}`, role: "img", "aria-label": names.map((name) => `${name} ${percent(shares[name].share)}`).join(", ") });
  const at = (share) => label + width * share;
  names.forEach((name, index) => {
    const found = shares[name], top = index * row + 6, [low, high] = found.clustered95 || found.wilson95 || [found.share, found.share];
    picture.append(
      drawn("text", { x: label - 8, y: top + 15, "text-anchor": "end" }, name.slice(0, 20)),
      drawn("line", { class: "axis", x1: label, x2: label + width, y1: top + 22, y2: top + 22 }),
      drawn("rect", { class: "bar", x: label, y: top + 2, width: Math.max(1, width * found.share), height: 18, opacity: 0.75 }),
      drawn("line", { class: "interval", x1: at(low), x2: at(high), y1: top + 11, y2: top + 11 }),
      drawn("text", { x: at(Math.max(high, found.share)) + 8, y: top + 15 }, percent(found.share)),
    );
  });
  return picture;
}

function table(head, rows) {
  const made = element("table"), top = element("thead"), body = element("tbody"), line = element("tr");
  line.append(...head.map((text) => element("th", text, { scope: "col" })));
  top.append(line);
  body.append(...rows.map((cells) => {
    const one = element("tr");
    one.append(...cells.map((text, index) => (index ? element("td", text) : element("th", text, { scope: "row" }))));
    return one;
  }));
  made.append(top, body);
  return made;
}

function card(title, ...content) {
  // Wide tables scroll inside their card, by keyboard too.
  const made = element("section", "", { tabindex: "0", "aria-label": title });
  made.append(element("h2", title), ...content);
  return made;
}

function checks(found) {
  const rows = [];
  const alpha = found.agreement.krippendorff_alpha;
  if (found.sign_test.between) rows.push(["sign test", `${found.sign_test.between.join(" against ")}: ${found.sign_test.votes.join(" to ")}, p = ${found.sign_test.p_value.toPrecision(2)}`]);
  for (const one of found.win_rates) {
    if (one.share === undefined) continue;
    const people = one.clustered95 ? ` (${interval(one.clustered95)} by participant)` : "";
    rows.push([`${one.between.join(" over ")}`, `${percent(one.share)} of ${one.votes[0] + one.votes[1]}${people}`]);
  }
  rows.push(["majority of the comparisons", Object.entries(found.majority.shares).map(([name, share]) => `${name} ${percent(share)}`).join(", ")]);
  rows.push(["Bradley–Terry", Object.entries(found.bradley_terry).map(([name, one]) => `${name} ${one.strength.toFixed(3)}${one.clustered95 ? ` (${one.clustered95.map((bound) => bound.toFixed(3)).join(" – ")})` : ""}`).join(", ")]);
  rows.push(["agreement (Krippendorff's alpha)", alpha === null ? "nothing was judged twice" : `${alpha.toFixed(3)} on ${found.agreement.trials} comparisons`]);
  if (found.sides) rows.push(["sides chosen", `${Object.entries(found.sides.counts).map(([side, count]) => `${side} ${count}`).join(", ")}${found.sides.p_value === undefined ? "" : `, p = ${found.sides.p_value.toPrecision(2)}`}`]);
  if (found.catch) rows.push(["catch trials passed", `${percent(found.catch.passed)} of ${found.catch.votes}`]);
  if (found.repeat) rows.push(["repeats answered alike", `${percent(found.repeat.same)} of ${found.repeat.votes}`]);
  return table(["", ""], rows);
}

const strengths = (ranking) => Object.fromEntries(Object.entries(ranking).map(([name, one]) => [name, { share: one.strength, clustered95: one.clustered95 }]));

function parts(counts) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0) || 1;
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, { share: count / total }]));
}

// The shares of each category or prompt: a chart of the first choice, and all of them as a table.
function grouped(key, groups, names) {
  const rows = Object.entries(groups).map(([name, one]) => [name, String(one.votes), ...names.map((choice) => percent(one.shares[choice].share))]);
  const content = [table([key, "votes", ...names], rows)];
  if (key === "category") content.unshift(element("p", `Share of ${names[0]}`), chart(Object.fromEntries(Object.entries(groups).map(([name, one]) => [name, one.shares[names[0]]]))));
  return card(`By ${key}`, ...content);
}

function present(found, title) {
  const head = `${found.votes} votes of ${found.participants} participants on ${found.trials} comparisons`;
  const rows = Object.entries(found.shares).map(([name, one]) => [name, String(one.count), percent(one.share), interval(one.ci95), interval(one.wilson95), interval(one.clustered95)]);
  const cards = [card(title, element("p", head), chart(found.shares), table(["choice", "votes", "share", "95 %, normal", "95 %, Wilson", "95 %, by participant"], rows), checks(found))];
  if (Object.keys(found.bradley_terry).length) cards.push(card("Strength (Bradley–Terry)", chart(strengths(found.bradley_terry))));
  if (found.sides) cards.push(card("Side that was chosen", chart(parts(found.sides.counts))));
  for (const key of ["category", "prompt"]) {
    if (found[`by_${key}`]) cards.push(grouped(key, found[`by_${key}`], Object.keys(found.shares)));
  }
  if (found.catch && found.catch.by_participant) {
    const own = Object.entries(found.catch.by_participant).sort((a, b) => a[1].passed - b[1].passed);
    cards.push(card("Catch trials by participant", table(["participant", "catch trials", "passed"], own.map(([who, one]) => [who, String(one.votes), percent(one.passed)]))));
  }
  if (found.unflagged && found.unflagged.votes) cards.push(...present(found.unflagged, "Without flagged participants"));
  return cards;
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("problem").hidden = true;
  try {
    const found = await (await get("results")).json();
    $("results").replaceChildren(...(found.votes ? present(found, "All votes") : [element("p", "There are no votes yet.")]));
    for (const button of downloads) button.hidden = !found.votes;
  } catch (error) {
    $("results").replaceChildren();
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }
});

for (const button of downloads) {
  button.addEventListener("click", async () => {
    const suffix = button.dataset.suffix, content = await (await get(`votes.${suffix}`)).blob();
    element("a", "", { href: URL.createObjectURL(content), download: `${path[path.length - 2]}.${suffix}` }).click();
  });
}
