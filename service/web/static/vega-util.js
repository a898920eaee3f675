// The part of vega-util that vega-interpreter.js imports: vega.min.js, loaded before, carries it.
export const { ascending, isString, DisallowedObjectProperties } = globalThis.vega;
