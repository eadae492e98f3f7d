import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  CODES,
  type Code,
  CodedError,
  type CodeFacts,
  EvidenceError,
  httpStatus,
  isCode,
  ServiceError,
} from '../../protocol/errors.ts';

const codes = Object.entries(CODES) as [Code, CodeFacts][];

describe('codes', () => {
  test('every code is upper case, with a known stage, action and status', () => {
    const stages = ['parse', 'verify', 'appraise', 'request', 'seal', 'model', 'relay', 'broker', 'platform', 'usage'];
    for (const [code, { stage, action, status }] of codes) {
      expect(code).toMatch(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
      expect(code.length).toBeLessThanOrEqual(64); // the room a statement has for its outcome
      expect(stages).toContain(stage);
      expect(['refuse', 'upgrade', 'retry']).toContain(action);
      if (status !== undefined) expect(status >= 400 && status <= 599).toBe(true);
    }
  });

  test('a code is written once in the source', () => {
    const source = readFileSync(new URL('../../protocol/errors.ts', import.meta.url), 'utf8');
    const written = [...source.matchAll(/^ {2}([A-Z][A-Z0-9_]+): \{ stage:/gm)].map((match) => match[1]);
    expect(written).toEqual(codes.map(([code]) => code)); // a second one would silently replace the first
  });

  test('released codes stay: codes.txt is only ever added to', () => {
    const released = readFileSync(new URL('codes.txt', import.meta.url), 'utf8')
      .trimEnd()
      .split('\n');
    expect(released.filter((code) => !isCode(code))).toEqual([]);
    const missing = codes.map(([code]) => code).filter((code) => !released.includes(code));
    expect(missing, 'add these lines to test/protocol/codes.txt').toEqual([]);
    expect(new Set(released).size).toBe(released.length);
  });

  test('what a caller can be answered with has a status', () => {
    for (const [code, { stage, status }] of codes) {
      if (stage === 'request' || stage === 'model') expect([code, typeof status]).toEqual([code, 'number']);
    }
    expect(httpStatus('REQUEST_TOO_LARGE')).toBe(413);
    expect(httpStatus('EVIDENCE_MALFORMED')).toBe(500);
  });

  test('only own names are codes', () => {
    for (const text of ['toString', '__proto__', 'constructor', '', 'evidence_malformed', 'EVIDENCE_MALFORMED ']) {
      expect(isCode(text)).toBe(false);
    }
  });
});

describe('errors', () => {
  test('carry code, field and cause under their own name', () => {
    const cause = new Error('inner');
    for (const [Class, name] of [
      [CodedError, 'CodedError'],
      [EvidenceError, 'EvidenceError'],
      [ServiceError, 'ServiceError'],
    ] as const) {
      const error = new Class('NONCE_INVALID', 'nonce: too long', { field: 'nonce', cause });
      expect(error).toBeInstanceOf(CodedError);
      expect([error.name, error.code, error.field, error.message]).toEqual([
        name,
        'NONCE_INVALID',
        'nonce',
        'nonce: too long',
      ]);
      expect(error.cause).toBe(cause);
      expect(new Class('INTERNAL', 'x').field).toBeUndefined();
    }
  });
});
