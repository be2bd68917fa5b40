import { createHost, type PageOrder0 } from "./quick-host.ts";
const host = createHost();
const pages = host.pages as PageOrder0;
function pair(p: PageOrder0, order: number, turns: number): number { let s = 0; for (let i = 0; i < turns; i++) { const r = p.allocPages(order); s = (s + r) | 0; p.freePage(r as never); } return s; }
function bulk(p: PageOrder0, out: Int32Array, turns: number): number { let s = 0; for (let i = 0; i < turns; i++) { const n = p.allocBulk(out, 64); s = (s + n) | 0; p.freeBulk(out, n); } return s; }
function burst(p: PageOrder0, out: Int32Array, n: number, turns: number): number { for (let i = 0; i < turns; i++) { for (let k = 0; k < n; k++) out[k] = p.allocPages(0); for (let k = 0; k < n; k++) p.freePage(out[k] as never); } return out[0]!; }
const out = new Int32Array(1024);
function med(f: (turns: number) => number, per: number): string { f(20000); f(20000); const t: number[] = []; for (let r = 0; r < 15; r++) { const a = performance.now(); f(100000); t.push(((performance.now() - a) * 1e6) / 100000 / per); } t.sort((a, b) => a - b); return `${t[7]!.toFixed(2)} (${t[0]!.toFixed(2)}-${t[14]!.toFixed(2)})`; }
const only = process.argv[2];
const rows: Record<string, () => string> = {};
for (let o = 0; o <= 10; o++) rows[`order${o}`] = () => med((t) => pair(pages, o, t), 1);
rows.bulk64 = () => med((t) => bulk(pages, out, t / 10), 6.4);
rows.bulk256 = () => med((t) => { const big = 1; let s = 0; for (let i = 0; i < t / 40; i++) { const n = pages.allocBulk(out, 256); s += n; pages.freeBulk(out, n); } return s + big; }, 6.4);
rows.burst64 = () => med((t) => burst(pages, out, 64, t / 10), 6.4);
rows.burst512 = () => med((t) => burst(pages, out, 512, t / 100), 5.12);
for (const k of Object.keys(rows)) if (!only || only === k) console.log(k, rows[k]!());
