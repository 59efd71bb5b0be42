// Runs what lib.rs exports; a browser does the same with `fetch` for `readFile`.
import { readFile } from "node:fs/promises";

const folder = process.env.CARGO_TARGET_DIR ?? new URL("target", import.meta.url).pathname;
const file = process.argv[2] ?? `${folder}/wasm32-unknown-unknown/release/tl_wasm.wasm`;
const { instance } = await WebAssembly.instantiate(await readFile(file), {});
for (const name of ["probe", "fine_tune"]) {
  const start = performance.now();
  const accuracy = instance.exports[name](5);
  console.log(`${name}: accuracy ${accuracy.toFixed(3)} in ${(performance.now() - start).toFixed(0)} ms`);
  if (!(accuracy > 0.8)) process.exit(1);
}
