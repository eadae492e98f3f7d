/** `verify.html`: the offline verifier as one page. What it shows is set as text, never as markup. */
import { CodedError } from '@veritee/protocol';
import { checkBundle, type Report } from './check.ts';
import { linesOf } from './words.ts';
import { zipFiles } from './zip.ts';

/** The little of the DOM that the page needs; this room compiles without its types. */
interface Element {
  textContent: string | null;
  className: string;
  value: string;
  readonly files: ArrayLike<{ arrayBuffer(): Promise<ArrayBuffer> }> | null;
  append(child: Element): void;
  replaceChildren(): void;
  addEventListener(event: string, listener: () => void): void;
}
interface Page {
  readonly document: { getElementById(id: string): Element | null; createElement(name: string): Element };
}
const { document } = globalThis as unknown as Page;

function element(id: string): Element {
  const found = document.getElementById(id);
  if (!found) throw new TypeError(`the page has no ${id}`);
  return found;
}

const file = element('file');
const expected = element('archive');
const status = element('status');
const lines = element('lines');

function show(report: Report): void {
  const [first = '', ...rest] = linesOf(report);
  status.textContent = first;
  status.className = report.holds ? 'holds' : 'fails';
  for (const line of rest) {
    const item = document.createElement('li');
    item.textContent = line;
    lines.append(item);
  }
}

async function verify(): Promise<void> {
  const chosen = file.files?.[0];
  if (!chosen) return;
  lines.replaceChildren();
  status.className = '';
  status.textContent = 'Verifying…';
  const archive = expected.value.trim();
  try {
    const files = zipFiles(new Uint8Array(await chosen.arrayBuffer()));
    const onProgress = (done: number, of: number): void => {
      status.textContent = `${done} of ${of} receipts`;
    };
    show(await checkBundle(files, { anchors: [], onProgress, ...(archive === '' ? {} : { archive }) }));
  } catch (error) {
    status.className = 'fails';
    status.textContent = error instanceof CodedError ? `${error.code}: ${error.message}` : String(error);
  }
}

file.addEventListener('change', () => void verify());
