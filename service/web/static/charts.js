// Draws each <figure class="chart"> from the Vega-Lite specification that its <script type="application/json"> holds.
// Expressions are interpreted, not compiled: the page's policy forbids that text becomes code.
import { expressionInterpreter } from "vega-interpreter";

const { vega, vegaLite } = globalThis;
const views = new WeakMap();
const dark = matchMedia("(prefers-color-scheme: dark)");

function colors() {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim(), faint = style.getPropertyValue("--line").trim();
  const axis = { labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink, gridColor: faint };
  const text = { labelColor: ink, titleColor: ink };
  return { background: "transparent", axis, legend: text, header: text, title: { color: ink, subtitleColor: ink },
           view: { stroke: faint }, style: { "guide-label": { fill: ink }, "guide-title": { fill: ink } } };
}

async function draw(figure) {
  const source = figure.querySelector("script[type='application/json']");
  const place = figure.querySelector(".drawing");
  views.get(figure)?.finalize();
  const specification = JSON.parse(source.textContent);
  const compiled = vegaLite.compile(specification, { config: colors() }).spec;
  const view = new vega.View(vega.parse(compiled, null, { ast: true }), {
    expr: expressionInterpreter, renderer: "svg", container: place, hover: true,
  });
  views.set(figure, view);
  figure.dataset.drawn = source.textContent.length;
  await view.runAsync();
  // groups of points are symbols without words, the points in them have theirs
  for (const part of place.querySelectorAll("[role='graphics-symbol']:not([aria-label])")) part.removeAttribute("role");
}

function drawAll(root) {
  for (const figure of root.querySelectorAll("figure.chart")) draw(figure);
}

drawAll(document);
dark.addEventListener("change", () => drawAll(document));
document.addEventListener("htmx:after:swap", () => {
  for (const figure of document.querySelectorAll("figure.chart")) {
    const source = figure.querySelector("script[type='application/json']");
    if (figure.dataset.drawn !== String(source.textContent.length)) draw(figure);
  }
});
