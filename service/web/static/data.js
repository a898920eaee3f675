// Uploads a zip with its progress. What is wrong with it is shown at the form's fields, as the page of a refusal says it.
const form = document.getElementById("upload"), refused = document.getElementById("refused");
const name_ = form.elements.name, wrongName = document.getElementById("wrong-upload-name");
const bar = form.querySelector("progress"), status_ = form.querySelector("[role='status']");
const button = form.querySelector("button");

function say(words) {
  const said = document.createElement("p");
  said.textContent = words;
  refused.replaceChildren(said);
}

function refuse(request) {
  if (!request.getResponseHeader("content-type")?.startsWith("text/html")) {
    let said = {};
    try { said = JSON.parse(request.responseText); } catch { /* no answer at all */ }
    say(said.detail ?? "The connection broke off; nothing was added.");
    return;
  }
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const problems = page.querySelector("#content .problems");
  for (const field of problems?.querySelectorAll("dt") ?? []) {
    if (field.textContent !== "name") continue;
    wrongName.textContent = field.nextElementSibling.textContent;
    name_.setAttribute("aria-invalid", true);
    name_.focus();
    field.nextElementSibling.remove();
    field.remove();
  }
  if (!problems) say(page.querySelector("#detail").textContent);
  else if (problems.children.length) refused.replaceChildren(problems);
}

function busy(is) {
  bar.hidden = !is;
  button.disabled = is;
  if (!is) status_.textContent = "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { file } = form.elements;
  const request = new XMLHttpRequest();
  request.open("POST", `/data?name=${encodeURIComponent(name_.value)}`);
  request.setRequestHeader("Content-Type", "application/zip");
  request.upload.addEventListener("progress", (sent) => {
    bar.value = sent.total ? sent.loaded / sent.total : 0;
    status_.textContent = sent.loaded < sent.total ? `${Math.round(100 * bar.value)} %` : "Checking every example";
  });
  request.addEventListener("loadend", () => {
    busy(false);
    if (request.status >= 200 && request.status < 300) location.assign(request.responseURL);
    else refuse(request);
  });
  refused.replaceChildren();
  wrongName.textContent = "";
  name_.removeAttribute("aria-invalid");
  busy(true);
  request.send(file.files[0]);
});
