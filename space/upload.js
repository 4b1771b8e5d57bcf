// files that would be refused for their size are not sent; one message says why
const refuseBySize = (event) => {
  const target = event.target;
  if (!target.closest || !target.closest("ELEMENT")) return;
  const files = [...((event.dataTransfer || target).files || [])];
  const empty = files.some((file) => file.size === 0);
  const large = files.find((file) => file.size > MOST_MB * 1e6);
  if (!empty && !large) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (target.type === "file") target.value = "";
  const text = empty
    ? "This file is empty."
    : `This file has ${Math.round(large.size / 1e6)} MB; at most MOST_MB MB are taken.`;
  props.value = `<p id="message" role="alert">${text}</p>`;
};
document.addEventListener("change", refuseBySize, true);
document.addEventListener("drop", refuseBySize, true);
