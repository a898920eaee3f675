// The page of a new experiment: what is chosen to start from is taken at once, and as long as the plan is not of what is
// written now, it says so and nothing can be submitted.
const plan = document.getElementById("plan");

for (const choice of document.querySelectorAll("select.go"))
  choice.addEventListener("change", () => { if (choice.value) choice.form.submit(); });

// Numbers of edits: all; those of which the service has been asked; those that form and JSON agree on; those of the plan.
let edits = 0, sent = 0, agreed = 0, planned = 0;

function show() {
  const is = planned !== edits;
  plan.setAttribute("aria-busy", is);
  const submit = plan.querySelector("button.primary");
  if (submit) submit.disabled = is;
}

document.addEventListener("input", (event) => {
  if (!event.target.closest("#fields, #source")) return;
  edits += 1;
  show();
});
document.addEventListener("htmx:before:request", (event) => {
  if (event.target === plan) plan.dataset.of = agreed;
  else sent = edits;
});
document.addEventListener("spec", () => { agreed = sent; }, true);
document.addEventListener("htmx:after:swap", (event) => {
  if (event.target !== plan) return;
  planned = Number(plan.dataset.of ?? 0);
  show();
});
