// The microphone, in pieces to the server: one after the other, and what comes meanwhile waits, so no sample is lost.
// (gradio's own streaming keeps the newest piece alone when the server is slower than the microphone.)
const EVERY_MS = 500, LONGEST_S = 5;
const PIECES = `registerProcessor("pieces", class extends AudioWorkletProcessor {
  process(inputs) { if (inputs[0].length) this.port.postMessage(inputs[0][0].slice()); return true; }
});`;
const button = element.querySelector("button"), view = element.querySelector("#live_result");
let live = null; // what is being recorded

const showError = (text) => {
  view.innerHTML = '<p id="message" role="alert"></p>';
  view.firstChild.textContent = text;
};
// the curve stays and is drawn anew inside, so the keyboard stays on it and what is read of it follows
const show = (html) => {
  const next = document.createElement("template");
  next.innerHTML = html;
  const svg = view.querySelector("svg[data-points]"), drawn = next.content.querySelector("svg[data-points]");
  if (!svg || !drawn) { view.replaceChildren(next.content); return; }
  for (const part of [".top", ".times", ".note"]) view.querySelector(part).replaceWith(next.content.querySelector(part));
  for (const { name, value } of drawn.attributes) svg.setAttribute(name, value);
  svg.replaceChildren(...drawn.childNodes);
  if ("at" in svg.dataset) read(svg, Number(svg.dataset.at));
};
const base64 = (samples) => {
  const bytes = new Uint8Array(Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(32768 * x)))).buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};
const take = (recording) => {
  const most = LONGEST_S * recording.context.sampleRate, taken = [];
  let count = 0;
  while (recording.waiting.length && count < most) {
    taken.push(recording.waiting.shift());
    count += taken[taken.length - 1].length;
  }
  const samples = new Float32Array(count);
  taken.reduce((start, part) => { samples.set(part, start); return start + part.length; }, 0);
  return samples;
};
const send = async (recording) => {
  for (let last = false; !last; ) {
    if (recording === live) await new Promise((done) => setTimeout(done, EVERY_MS));
    const samples = take(recording);
    last = recording !== live && !recording.waiting.length;
    if (!samples.length && !last) continue;
    const { session, context } = recording;
    try {
      const answer = await server.push_audio({ session, sampling_rate: context.sampleRate, samples: base64(samples), last });
      if (live && live !== recording) return; // another recording has begun
      show(answer.html);
      last = answer.ended;
    } catch (error) {
      showError("The connection to the server was lost: record again.");
      last = true;
    }
  }
  recording.waiting = [];
  stop(recording);
};
const stop = (recording) => {
  if (live === recording) live = null;
  recording.microphone.getTracks().forEach((track) => track.stop());
  if (recording.context.state !== "closed") recording.context.close();
  button.textContent = "Record";
  element.classList.remove("recording");
};
const start = async () => {
  let microphone;
  try {
    // as it sounds: a browser's levelling and noise suppression change how a voice sounds
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    microphone = await navigator.mediaDevices.getUserMedia({ audio: plain });
  } catch (error) {
    showError("No microphone was found: plug one in, and allow this page to use it.");
    return;
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([PIECES], { type: "text/javascript" })));
  const node = new AudioWorkletNode(context, "pieces", { numberOfOutputs: 0 });
  const recording = { microphone, context, waiting: [], session: crypto.randomUUID() };
  node.port.onmessage = (event) => { if (recording === live) recording.waiting.push(event.data); };
  live = recording;
  button.textContent = "Stop";
  element.classList.add("recording");
  view.innerHTML = "";
  context.createMediaStreamSource(microphone).connect(node);
  send(recording);
};
let starting = false;
button.addEventListener("click", async () => {
  if (live) { stop(live); return; }
  if (starting) return;
  starting = true;
  try { await start(); } finally { starting = false; }
});
