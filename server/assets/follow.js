// The answer follows the form: the price right after an edit, what explains it once the typing pauses.
import { announce, forget, outdate, reveal, show, showPrice, showProblem } from "./answer.js";
import { adopt, askAboutUnknown, clearErrors, fieldOfError, isEmpty, isUnfinished, markErrors, missingFields, readForm } from "./form.js";
import { byId, call, inTask, nameOf, problemText, words } from "./page.js";

const EXTRAS = "explain=true&comparables=6&narrow=true&curves=true";
// Long enough to send one request for the events of one key, and far too short to be noticed.
const PRICE_DELAY_MS = 15;
const EXTRAS_DELAY_MS = 400;

// The request whose answer is awaited; an edit ends it.
let pending = null;
let timers = [];
// The errors of the field that is being typed in, which are shown once it is left.
let heldBack = null;
let isUnknownAllowed = false;
// Whether the form is complete but for a field that is being typed in.
let isWaiting = false;

/** Ends what is under way: its answer is not for these inputs. */
function interrupt() {
  isWaiting = false;
  timers.forEach(clearTimeout);
  timers = [];
  heldBack = null;
  if (pending) {
    pending.abort();
    pending = null;
  }
}

/** Takes the price away until there is another one for the form as it is. */
export function reset() {
  interrupt();
  isUnknownAllowed = false;
  forget();
}

/** Values the form after an edit. The focus stays where it is. */
export function follow() {
  interrupt();
  isUnknownAllowed = false;
  if (missingFields().length > 0 || isUnfinished()) {
    wait();
    return;
  }
  outdate();
  timers = [
    setTimeout(() => ask({ isComplete: false }), PRICE_DELAY_MS),
    setTimeout(() => ask({ isComplete: true }), EXTRAS_DELAY_MS),
  ];
}

/** Values the form after the page has filled in fields itself. What the user has submitted is still led to. */
export function followPage() {
  if (pending && pending.isSubmitted) {
    value();
  } else {
    follow();
  }
}

/** Says what is still missing in place of the price. */
function wait() {
  const missing = missingFields();
  isWaiting = missing.length === 0;
  if (isWaiting) {
    forget(() => words().unfinished);
  } else if (isEmpty()) {
    forget();
  } else {
    forget(() => words().waiting(missing.map((name) => nameOf(name)).join(", ")));
  }
}

/** Shows what is wrong with a field that is left. */
export function fieldLeft() {
  if (heldBack) {
    const errors = heldBack;
    heldBack = null;
    markErrors(errors, allowUnknown);
  } else if (isWaiting && missingFields().length === 0) {
    follow();
  }
}

/** Values the form at once and moves the focus to the answer, or to the first field with an error. */
export async function value() {
  interrupt();
  await ask({ isComplete: true, isSubmitted: true });
}

/** Values the car of the address. */
export async function valueRestored() {
  interrupt();
  if (missingFields().length === 0) {
    await ask({ isComplete: true, isRestored: true });
  }
}

function allowUnknown() {
  interrupt();
  isUnknownAllowed = true;
  ask({ isComplete: true, isSubmitted: true });
}

/** Asks for the price, or for everything, and shows it unless the form was edited meanwhile. */
async function ask({ isComplete, isSubmitted = false, isRestored = false }) {
  if (pending) {
    pending.abort();
  }
  const request = new AbortController();
  request.isSubmitted = isSubmitted;
  pending = request;
  const { status, body } = await send(request.signal, isComplete);
  if (request.signal.aborted) {
    return;
  }
  pending = null;
  if (status === 200) {
    clearErrors();
    adopt(body.listing);
    (isComplete ? show : showPrice)(body);
    if (isComplete) {
      askAboutUnknown(body.warnings);
    }
    if (isSubmitted) {
      reveal();
    } else if (isComplete && !isRestored) {
      announce();
    }
    return;
  }
  // The complete answer would fail as well.
  const wasPrice = !isComplete;
  const errors = (body.errors || []).filter(fieldOfError);
  if (errors.length > 0) {
    timers.forEach(clearTimeout);
    refuse(errors, isSubmitted || isRestored, isSubmitted);
  } else if (!wasPrice) {
    showProblem(() => problemText(body));
    if (isSubmitted && status !== 401) {
      reveal();
    }
  }
}

/** Shows errors; those of a field that is being typed in only once it is left. */
function refuse(errors, isFinal, isSubmitted) {
  const typed = document.activeElement && document.activeElement.name;
  const isHeldBack = (error) => !isFinal && fieldOfError(error) === typed;
  clearErrors();
  const first = markErrors(errors.filter((error) => !isHeldBack(error)), allowUnknown);
  const held = errors.filter(isHeldBack);
  if (held.length > 0) {
    heldBack = held;
  }
  if (isFinal) {
    showProblem(() => words().check);
  } else {
    wait();
  }
  if (isSubmitted && first) {
    first.focus();
  }
}

/** Sends the car to the server, which reads it as people write. */
async function send(signal, isComplete) {
  const { listing, askingPrice } = readForm();
  const query = new URLSearchParams(isComplete ? EXTRAS : "");
  if (askingPrice) {
    query.set("asking_price", askingPrice);
  }
  if (isUnknownAllowed) {
    query.set("allow_unknown", "true");
  }
  try {
    const response = await call(inTask(`/v1/valuations/lenient?${query}`), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(listing), signal,
    });
    return { status: response.status, body: await response.json() };
  } catch {
    return { status: 0, body: {} };
  }
}
