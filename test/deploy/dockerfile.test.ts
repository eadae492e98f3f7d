import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../support/shared.ts';

interface Stage {
  readonly name: string;
  readonly base: string;
  readonly lines: readonly string[];
}

const text = readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ');
const [preamble = '', ...parts] = text.split(/^FROM /m);
const stages: readonly Stage[] = parts.map((part) => {
  const [head = '', ...lines] = part.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const [base = '', , name = ''] = head.split(' ');
  return { name, base, lines };
});
const final = stages.filter(({ name }) => !name.endsWith('-build'));

describe('the Dockerfile', () => {
  test('has the three images, and the only base is an argument pinned by digest', () => {
    expect(final.map(({ name }) => name)).toEqual(['enclave-snp', 'enclave-nitro', 'host']);
    expect(preamble).toMatch(/^ARG BASE=\S+@sha256:[0-9a-f]{64}$/m);
    for (const { name, base } of stages) expect(base).toBe(name.endsWith('-build') ? `\${BASE}` : 'scratch');
  });

  test.each(final)('$name is one tree on nothing, and not for root', ({ name, lines }) => {
    const words = lines.map((line) => line.split(' ')[0]);
    expect(words).not.toContain('RUN');
    expect(words.filter((word) => word === 'COPY' || word === 'ADD')).toEqual(['COPY']);
    expect(lines).toContain(`COPY --from=${name === 'host' ? 'host-build' : 'enclave-build'} /out/${name}/ /`);
    expect(lines).toContain('USER 65532:65532');
    expect(lines.find((line) => line.startsWith('ENTRYPOINT'))).toMatch(/^ENTRYPOINT \["\/(usr\/bin\/node|init)"/);
  });

  test('no install script of a dependency runs where an enclave is built', () => {
    const { lines } = stages.find(({ name }) => name === 'enclave-build') as Stage;
    for (const line of lines.filter((one) => /\bnpm\b/.test(one))) expect(line).toContain('npm ci --ignore-scripts');
  });
});
