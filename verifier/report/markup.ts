/** Text into HTML and SVG. Every string is escaped; only what this tag itself made goes in as it is. */

/** Controls, format characters such as bidi overrides, lone surrogates and line separators: shown, never obeyed. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string =>
  text
    .replace(INVISIBLE, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)
    .replace(/[&<>"']/g, (c) => ENTITIES[c] ?? '');

export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Content = string | number | Markup | readonly Content[];

const render = (content: Content): string => {
  if (content instanceof Markup) return content.text;
  if (typeof content === 'string' || typeof content === 'number') return escaped(String(content));
  return content.map(render).join('');
};

/** A template whose own text is markup and whose values are content. */
export const html = (own: TemplateStringsArray, ...values: readonly Content[]): Markup =>
  new Markup(own.map((part, i) => part + (i < values.length ? render(values[i] as Content) : '')).join(''));

/** With a row of headings. */
export const table = (head: readonly string[], rows: readonly (readonly Content[])[]): Markup => html`<table>
<thead>
<tr>${head.map((name) => html`<th scope="col">${name}</th>`)}</tr>
</thead>
<tbody>
${rows.map(
  (cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>
`,
)}</tbody>
</table>
`;
