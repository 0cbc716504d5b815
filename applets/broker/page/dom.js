// What the page is made of. Nothing here, or anywhere, takes a text for HTML.

export const $ = (id) => document.getElementById(id);

// An element with properties and children: texts or elements; null is left out.
export function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// A text of somebody else's: it is isolated, so that it does not turn what stands around it.
export const text = (value, classes = "") => make("span", { className: `text ${classes}`, textContent: value ?? "" });

// For who listens to the page instead of looking at it.
export function say(words) {
  $("said").textContent = words;
}

export function show(element, shown = true) {
  element.hidden = !shown;
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });

function ago(date) {
  const seconds = (date.getTime() - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => -seconds >= size) ?? [null, 1];
  return unit ? relative.format(Math.ceil(seconds / size), unit) : "just now";
}

// How long ago something was, kept up to date; the moment itself when pointed at.
export function since(at) {
  const date = new Date(at);
  return make("time", { dateTime: at, title: date.toLocaleString(), textContent: ago(date), className: "since" });
}

// A moment of today as the time, of another day with the date.
export function moment(at) {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const day = today ? "" : `${date.toLocaleDateString([], { month: "short", day: "numeric" })} `;
  return make("time", { dateTime: at, title: date.toLocaleString(), textContent: day + time });
}

export function duration(ms) {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60000);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

setInterval(() => {
  for (const time of document.querySelectorAll("time.since")) time.textContent = ago(new Date(time.dateTime));
}, 20000);
