// Uploads a zip with its progress. What is wrong with it is shown beside the form, as the page of a refusal says it.
const form = document.getElementById("upload"), refused = document.getElementById("refused");
const bar = form.querySelector("progress"), status_ = form.querySelector("[role='status']");
const button = form.querySelector("button");

function say(heading, ...parts) {
  const title = document.createElement("p"), strong = document.createElement("strong");
  strong.textContent = heading;
  title.append(strong);
  refused.replaceChildren(title, ...parts);
}

function refuse(request) {
  if (!request.getResponseHeader("content-type")?.startsWith("text/html")) {
    let said = {};
    try { said = JSON.parse(request.responseText); } catch { /* no answer at all */ }
    say(said.detail ?? "The connection broke off; nothing was added.");
    return;
  }
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const problems = page.querySelectorAll("#content .problems");
  for (const list of problems) list.removeAttribute("role");  // it comes into an alert
  say(page.querySelector("#content h1").textContent, ...problems);
}

function busy(is) {
  bar.hidden = !is;
  button.disabled = is;
  if (!is) status_.textContent = "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { name, file } = form.elements;
  const request = new XMLHttpRequest();
  request.open("POST", `/data?name=${encodeURIComponent(name.value)}`);
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
  busy(true);
  request.send(file.files[0]);
});
