// The broker's API, from a page that it served itself.

const base = new URL("../", import.meta.url);

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const address = (path) => new URL(path, base).href;

export function socketAddress(path) {
  const url = new URL(path, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// How far this machine's clock is ahead of the broker's, milliseconds.
let ahead = 0;
export const brokerNow = () => Date.now() - ahead;

function wait(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  return seconds > 0 ? ` Try again in ${seconds} s.` : "";
}

async function errorOf(response) {
  const said = await response.json().catch(() => ({}));
  const words = said.message ?? `The broker answered ${response.status}.`;
  return new ApiError(response.status, said.error ?? "", words + (response.status === 429 ? wait(response) : ""));
}

// What the broker answers, read from JSON; null where it says nothing. Throws ApiError; status 0: no answer.
export async function call(method, path, body) {
  const options = { method, headers: { Accept: "application/json" }, cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(address(path), options);
  } catch {
    throw new ApiError(0, "", "The broker does not answer.");
  }
  const date = Date.parse(response.headers.get("Date"));
  if (date) ahead = Date.now() - date - 500; // it is told in whole seconds
  if (!response.ok) throw await errorOf(response);
  return response.status === 204 ? null : response.json();
}
