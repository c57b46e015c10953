// Talking to the Console: the public API for what it has, the page's own addresses for the rest.

const CSRF = document.querySelector("meta[name=csrf]")?.content ?? "";

/** Something the Console refused or that did not arrive; `message` says what to do. */
export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", redirect: "manual", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The Console cannot be reached. Nothing was lost; the page keeps trying.", 0);
  }
  if (answer.status === 401 || answer.type === "opaqueredirect") {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Failure("You are signed out. Sign in again.", 401);
  }
  let body;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(`The Console answered ${answer.status} without an explanation. Look at its log.`, answer.status);
  }
  if (!answer.ok || body.result === "error" || body.result === "failure") {
    throw new Failure(body.message ?? `The Console answered ${answer.status}.`, answer.status);
  }
  return body;
}

function query(params) {
  const set = Object.entries(params).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return set.length ? `?${new URLSearchParams(set)}` : "";
}

/** GET of a page-own address, e.g. `rows`. */
export const page = (name, params = {}, signal) => ask(`/page/${name}${query(params)}`, { signal });

/** How many incidents are open: no change is newer than the newest, so no row comes with it. */
export const countOpen = async () => (await page("rows", { q: "is:open", after: Number.MAX_SAFE_INTEGER })).open;

/** GET of the public API. */
export const get = (name, params = {}) => ask(`/api/v1/${name}${query(params)}`, {});

/** POST to the public API. */
export const post = (name, params = {}) => send(`/api/v1/${name}`, params);

/** DELETE of the public API. */
export const remove = (name, params = {}) => ask(`/api/v1/${name}${query(params)}`, { method: "DELETE", headers: { "X-Coalmine-CSRF": CSRF } });

/** POST to a page-own address. */
export const pagePost = (name, params = {}) => send(`/page/${name}`, params);

function send(path, params) {
  const files = Object.values(params).some((value) => value instanceof File);
  const body = files ? new FormData() : new URLSearchParams();
  for (const [name, value] of Object.entries(params)) body.append(name, value);
  return ask(path, { method: "POST", headers: { "X-Coalmine-CSRF": CSRF }, body });
}
