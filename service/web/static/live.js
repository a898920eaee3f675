// Keeps the part of a page that has `data-live` up to date: htmx asks for the page again and morphs that part, whenever
// the element gets a "news" event. `data-live` is the address of a stream of events, or empty: then it is asked regularly.
// `data-soonest` is the least number of milliseconds between two times.
const SOONEST = 1000, OTHERWISE = 5000;

function follow(element) {
  const soonest = Number(element.dataset.soonest) || SOONEST;
  let due = false, last = 0;
  const tell = () => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      if (document.hidden) return;
      last = Date.now();
      element.dispatchEvent(new Event("news"));
    }, Math.max(0, last + soonest - Date.now()));
  };
  if (!element.dataset.live) {
    const again = setInterval(() => {
      if (!("live" in element.dataset)) clearInterval(again);
      else if (!document.hidden) tell();
    }, OTHERWISE);
    return;
  }
  // A browser has six connections to a service for all its tabs: a tab that nobody looks at keeps none. The address says
  // after which event to begin, and changes with the element.
  let events = null;
  const open = () => {
    if (events || document.hidden || !element.dataset.live) return;
    events = new EventSource(element.dataset.live);
    for (const kind of ["experiment", "trial"]) events.addEventListener(kind, tell);
    events.addEventListener("error", () => {  // after a refusal, unlike a broken connection, a browser gives up
      if (events?.readyState !== EventSource.CLOSED) return;
      events = null;
      setTimeout(open, OTHERWISE);
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { events?.close(); events = null; }
    else if (element.dataset.live) { tell(); open(); }
  });
  open();
}

for (const element of document.querySelectorAll("[data-live]")) follow(element);

// Times are sent in UTC; people read their own. It is written before it is shown, so that nothing flickers.
const minute = new Intl.DateTimeFormat("sv", { dateStyle: "short", timeStyle: "short" });  // ISO 8601, as in UTC

function local(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = minute.format(at);
    time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  }
}
local(document);
document.addEventListener("htmx:before:swap", (event) => event.detail.tasks.forEach((task) => local(task.fragment)));
