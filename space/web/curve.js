// a pointer or the arrow keys read the curve; a click or Enter plays from there
const svgOf = (event) => event.target.closest && event.target.closest("svg[data-points]");
const read = (svg, seconds) => {
  const data = JSON.parse(svg.dataset.points);
  if (!data.points.length) return;
  const at = Math.max(0, Math.min(data.duration_s, seconds));
  svg.dataset.at = at;
  svg.setAttribute("aria-valuenow", at.toFixed(2));
  const nearest = data.points.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
  const names = ["activation", "valence", "dominance"];
  const texts = names.map((name, i) => {
    const text = nearest[i + 1] === null ? "–" : nearest[i + 1].toFixed(2);
    const key = element.querySelector(`[data-key="${name}"]`);
    if (key) key.textContent = text;
    return `${name} ${text}`;
  });
  const time = element.querySelector('[data-key="time"]');
  if (time) time.textContent = `at ${at.toFixed(1)} s`;
  svg.setAttribute("aria-valuetext", `${at.toFixed(1)} seconds: ${texts.join(", ")}`);
  const cursor = svg.querySelector(".cursor");
  cursor.setAttribute("transform", `translate(${svg.viewBox.baseVal.width * at / data.duration_s} 0)`);
  cursor.setAttribute("visibility", "visible");
};
const secondsAt = (svg, event) => {
  const box = svg.getBoundingClientRect();
  return (event.clientX - box.left) / box.width * JSON.parse(svg.dataset.points).duration_s;
};
const play = (svg) => {
  const player = document.querySelector("#clip audio");
  if (!player || !("plays" in svg.dataset)) return;
  player.currentTime = Number(svg.dataset.at || 0);
  player.play().catch(() => {});
};
element.addEventListener("pointermove", (event) => {
  const svg = svgOf(event);
  if (svg) read(svg, secondsAt(svg, event));
});
element.addEventListener("click", (event) => {
  const svg = svgOf(event);
  if (svg) { read(svg, secondsAt(svg, event)); play(svg); }
});
element.addEventListener("keydown", (event) => {
  const svg = svgOf(event);
  if (!svg) return;
  const step = { ArrowLeft: -0.5, ArrowRight: 0.5 }[event.key];
  if (step) { read(svg, Number(svg.dataset.at || 0) + step); event.preventDefault(); }
  if (event.key === "Enter" || event.key === " ") { play(svg); event.preventDefault(); }
});
document.addEventListener("timeupdate", (event) => {
  const svg = element.querySelector("#curve svg[data-points]");
  if (svg && event.target.matches("#clip audio") && !event.target.paused) read(svg, event.target.currentTime);
}, true);
