/** The page's only style; its digest is what the page's own security policy allows. */
export const STYLE = `
:root{color-scheme:light dark;--ink:#1a1d21;--soft:#5b636d;--paper:#fff;--line:#d4d9df;--pass:#156f3a;--fail:#b3202a;--skipped:#767e88;--wash:#f5f7f9}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#a0a8b2;--paper:#14171b;--line:#39414a;--pass:#5cc98a;--fail:#ff7b82;--skipped:#8d959f;--wash:#1d2127}}
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--paper:#fff;--line:#bbb;--pass:#0d5a2c;--fail:#a01019;--skipped:#666;--wash:#fff}
body{font-size:10pt;margin:0;max-width:none}h2{break-after:avoid}tr,svg{break-inside:avoid}thead{display:table-header-group}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:75rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.sentence{font-size:1.15rem;border-left:.4rem solid;padding:.6rem 1rem;background:var(--wash)}
.affirming{border-color:var(--pass)}.contraindicated{border-color:var(--fail)}.unsupported{border-color:var(--skipped)}
table{border-collapse:collapse;width:100%;table-layout:fixed}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600}.facts th{width:14rem}
code,.value,.row{font-family:ui-monospace,SFMono-Regular,Consolas,monospace;font-size:.9em}
span.pass{color:var(--pass)}span.fail{color:var(--fail)}span.skipped{color:var(--skipped)}
svg{max-width:100%;height:auto}svg text{fill:var(--ink);font-size:13px}svg .value{text-anchor:end;font-size:12px;fill:var(--soft)}svg .title{font-weight:600}
svg .row{font-size:12px}svg .row.pass{fill:var(--pass)}svg .row.fail{fill:var(--fail)}svg .row.skipped{fill:var(--skipped)}
svg rect{fill:var(--wash);stroke:var(--line);stroke-width:1.5}
svg .pass rect,svg .pass line{stroke:var(--pass)}svg .fail rect,svg .fail line{stroke:var(--fail)}svg .skipped rect,svg .skipped line{stroke:var(--skipped);stroke-dasharray:5 4}
svg line{stroke-width:2.5}svg .pass path{fill:var(--pass)}svg .fail path{fill:var(--fail)}svg .skipped path{fill:var(--skipped)}
footer{color:var(--soft);margin-top:2rem;font-size:.9em}
`;
