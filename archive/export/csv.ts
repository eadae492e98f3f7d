/** One line of a CSV file (RFC 4180). A field that a spreadsheet would run as a formula gets an apostrophe before it. */
export const csvLine = (fields: readonly (string | number | null)[]): string => `${fields.map(field).join(',')}\r\n`;

function field(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
