// The verifier that travels inside an export: one page with everything inline under a policy by hash, and one Node script.
// Both say what they are and fetch nothing; `archive/dist/` is where the archive looks for them.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const offline = `${root}archive/export/offline/`;

async function bundle(entry, options) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [offline + entry],
    bundle: true,
    platform: 'browser', // for Node too: cbor-x would otherwise look for a native addon beside the script
    conditions: ['veritee-source'],
    minify: true,
    target: 'es2022',
    legalComments: 'inline',
    write: false,
    logLevel: 'error',
    ...options,
  });
  return outputFiles[0].text;
}

const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const STYLE = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}
label{display:block;margin:1rem 0}input{font:inherit}#status{font-weight:600;min-height:1.5em}.holds{color:#17692e}.fails{color:#a11}
li{overflow-wrap:anywhere}@media(prefers-color-scheme:dark){.holds{color:#6fd08c}.fails{color:#ff8a80}}`;

function page(script) {
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(STYLE)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Verify an export</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Verify an export</h1>
<p>Choose the zip file. It is read on this machine only: this page cannot reach a network.</p>
<label>Archive id, if you were told it by another way <input id="archive" size="34" autocomplete="off" spellcheck="false"></label>
<label>Export <input id="file" type="file" accept=".zip"></label>
<p id="status" role="status" aria-live="polite"></p>
<ul id="lines"></ul>
<script>${script}</script>
</body>
</html>
`;
}

export async function offlineVerifier() {
  const [script, inPage] = await Promise.all([
    bundle('node.ts', { format: 'esm', external: ['node:*'] }),
    bundle('page.ts', { format: 'iife' }),
  ]);
  // A closing tag inside the script would end it early, and the hash would then be of something else.
  return { script, page: page(inPage.trim().replaceAll('</script', '<\\/script')) };
}

/** Where the archive looks for them. */
export async function writeOfflineVerifier() {
  const { script, page: html } = await offlineVerifier();
  mkdirSync(`${root}archive/dist`, { recursive: true });
  writeFileSync(`${root}archive/dist/verify.mjs`, script);
  writeFileSync(`${root}archive/dist/verify.html`, html);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeOfflineVerifier();
