// The before/after sliders and the chart tooltips; the page is complete without it.
for (const box of document.querySelectorAll(".compare")) {
  const range = box.querySelector("input");
  range.addEventListener("input", () => box.style.setProperty("--cut", range.value + "%"));
}
if (matchMedia("(max-width: 520px)").matches) {
  for (const maps of document.querySelectorAll(".pair details")) maps.open = false;
}
const tip = document.getElementById("tip");
function show(event) {
  const text = event.target.dataset && event.target.dataset.tip;
  if (!text) { tip.style.display = "none"; return; }
  tip.textContent = text;
  tip.style.display = "block";
  const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18;
  const fits = below + tip.offsetHeight < innerHeight;
  tip.style.left = Math.max(8, x) + "px";
  tip.style.top = (fits ? below : event.clientY - tip.offsetHeight - 12) + "px";
}
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
document.addEventListener("scroll", () => { tip.style.display = "none"; }, { passive: true });

// Pictures in full size: a map alone, a pair side by side. Escape or a click closes.
const zoom = document.getElementById("zoom");
function enlarge(title, pictures) {
  zoom.querySelector("h3").textContent = title;
  zoom.querySelector(".large").replaceChildren(...pictures.map((picture) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const large = new Image();
    large.src = picture.src;
    large.alt = picture.alt;
    caption.textContent = picture.alt.split(":")[0];
    figure.append(large, caption);
    return figure;
  }));
  zoom.showModal();
}
function opens(picture, title) {
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  picture.addEventListener("click", () => enlarge(title, [picture]));
  picture.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); enlarge(title, [picture]); }
  });
}
for (const pair of document.querySelectorAll(".pair")) {
  const title = pair.querySelector("h3").textContent;
  const [after, before] = pair.querySelectorAll(".compare img");
  pair.querySelector("button.zoom").addEventListener("click", () => enlarge(title, [before, after]));
  for (const map of pair.querySelectorAll(".maps img")) opens(map, title);
}
for (const plate of document.querySelectorAll(".plate")) {
  const title = plate.querySelector("h3").textContent;
  for (const picture of plate.querySelectorAll("img")) opens(picture, title);
}
zoom.addEventListener("click", (event) => { if (event.target === zoom) zoom.close(); });
