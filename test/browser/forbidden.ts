/** What the page's policy forbids, tried: shows that the policy is in force and that its reports reach the test. */
interface Document {
  readonly body: { append(node: unknown): void };
  createElement(name: 'script'): { textContent: string };
}

const { document, location } = globalThis as unknown as {
  readonly document: Document;
  readonly location: { readonly search: string };
};

const refused = async (run: () => unknown): Promise<boolean> => {
  try {
    await run();
    return false;
  } catch {
    return true;
  }
};

const inline = document.createElement('script');
inline.textContent = 'globalThis.inlineRan = true';
document.body.append(inline);

const answer = {
  eval: await refused(() => new Function('return 1')()),
  inline: !('inlineRan' in globalThis),
  elsewhere: await refused(() => fetch(new URLSearchParams(location.search).get('elsewhere') ?? '')),
};
await fetch('/answer', { method: 'POST', body: JSON.stringify(answer) });
