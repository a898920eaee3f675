// A button with `data-copy` copies what lies at that address, and says so in the status beside it.
async function copy(button) {
  const status_ = button.parentElement.querySelector("[role='status']");
  const answer = await fetch(button.dataset.copy);
  const text = await answer.text();
  if (!answer.ok) { status_.textContent = "It cannot be had any more: reload the page."; return; }
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else {  // without TLS, from another machine
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  status_.textContent = "Copied.";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
