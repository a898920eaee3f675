// The page of a new experiment: what is chosen to start from is taken at once, and while the plan is of an earlier text
// it says so and nothing can be submitted.
const plan = document.getElementById("plan");

for (const choice of document.querySelectorAll("select.go"))
  choice.addEventListener("change", () => { if (choice.value) choice.form.submit(); });

function outdated(is) {
  plan.setAttribute("aria-busy", is);
  const submit = plan.querySelector("button.primary");
  if (submit) submit.disabled = is;
}

document.addEventListener("input", (event) => {
  if (event.target.closest("#fields, #source")) outdated(true);
});
document.addEventListener("htmx:after:swap", (event) => { if (event.target === plan) outdated(false); });
document.addEventListener("htmx:error", () => outdated(false));
