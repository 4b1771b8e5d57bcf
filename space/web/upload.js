// files of a size that is not allowed are not sent; one message says why
const checkSize = (event) => {
  const target = event.target;
  if (!target.closest || !target.closest("ELEMENT")) return;
  const files = [...((event.dataTransfer || target).files || [])];
  const empty = files.some((file) => file.size === 0);
  const large = files.find((file) => file.size > MAX_MB * 1e6);
  if (!empty && !large) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (target.type === "file") target.value = "";
  const text = empty
    ? "This file is empty."
    : `This file has ${Math.round(large.size / 1e6)} MB; at most MAX_MB MB are allowed.`;
  props.value = `<p id="message" role="alert">${text}</p>`;
};
document.addEventListener("change", checkSize, true);
document.addEventListener("drop", checkSize, true);
