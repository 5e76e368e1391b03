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
