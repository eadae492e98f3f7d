import { createHash, createPrivateKey, createPublicKey, verify as nodeVerify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { decode as foreignDecode, encode as foreignEncode, type Tag } from 'cbor2';
import { describe, expect, test } from 'vitest';
import type { buildVectors } from './vectors.ts';

const vectors: Awaited<ReturnType<typeof buildVectors>> = JSON.parse(
  readFileSync(new URL('../../docs/vectors/formats.json', import.meta.url), 'utf8'),
);

/** What somebody else would write from docs/formats.md: cbor2 and node:crypto only, nothing of ours. */
describe('the vectors hold by themselves', () => {
  const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
  const buffer = (text: string) => Buffer.from(text, 'hex');
  const leaf = (data: Uint8Array) => sha256(buffer('00'), data);
  const node = (left: Uint8Array, right: Uint8Array) => sha256(buffer('01'), left, right);
  const root = (leaves: Buffer[]): Buffer => {
    if (leaves.length === 1) return leaves[0]!;
    let k = 1;
    while (k * 2 < leaves.length) k *= 2;
    return node(root(leaves.slice(0, k)), root(leaves.slice(k)));
  };
  const { session, model, saltedDigests, nonces, entries, ticks, proofs, files } = vectors;
  const publicKey = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: buffer(session.publicKey).toString('base64url') },
    format: 'jwk',
  });
  const decode = (data: Uint8Array) =>
    foreignDecode<Map<string | number, unknown>>(data, { cde: true, preferMap: true, ignoreGlobalTags: true });
  const leaves = entries.map(({ message }) => leaf(buffer(message)));

  test('session', () => {
    const pkcs8 = Buffer.concat([buffer('302e020100300506032b657004220420'), buffer(session.seed)]);
    const own = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
    expect(own.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex')).toBe(session.publicKey);
    expect(sha256(buffer(session.publicKey)).toString('hex').slice(0, 32)).toBe(session.bootId);
    expect(session.origin).toBe(`veritee/${session.bootId}`);
    const named = Buffer.concat([Buffer.from(`${session.origin}\n`), buffer(`01${session.publicKey}`)]);
    expect(sha256(named).toString('hex').slice(0, 8)).toBe(session.noteKeyId);
    expect(sha256(buffer(session.claims)).toString('hex')).toBe(session.claimsSha256);
    expect(session.claims).toBe(entries[0]!.payload);
    const claims = decode(buffer(session.claims)) as Map<number, Map<number, Map<number, Uint8Array>>>;
    expect(Buffer.from(claims.get(8)!.get(1)!.get(-2)!).toString('hex')).toBe(session.publicKey);
  });

  test('digests', () => {
    const map = new Map(
      Object.entries(model.files).map(([name, body]) => [name, new Uint8Array(sha256(Buffer.from(body)))]),
    );
    expect(Buffer.from(foreignEncode(map, { cde: true })).toString('hex')).toBe(model.filesMap);
    expect(sha256(buffer(model.filesMap)).toString('hex')).toBe(model.digest);
    for (const { salt, body, digest } of Object.values(saltedDigests)) {
      expect(sha256(buffer(salt), Buffer.from(body)).toString('hex')).toBe(digest);
    }
  });

  test('entries', () => {
    for (const { sequence, contentType, payload, message, leafHash } of entries) {
      const { tag, contents } = foreignDecode<Tag>(buffer(message), {
        cde: true,
        preferMap: true,
        ignoreGlobalTags: true,
      });
      expect(tag).toBe(18);
      const [header, unprotected, body, signature] = contents as [
        Uint8Array,
        Map<never, never>,
        Uint8Array,
        Uint8Array,
      ];
      expect(decode(header)).toEqual(
        new Map<number, unknown>([
          [1, -8],
          [3, contentType],
        ]),
      );
      expect(unprotected.size).toBe(0);
      expect(Buffer.from(body).toString('hex')).toBe(payload);
      const plain = (value: Uint8Array) => new Uint8Array(value); // cbor2 writes a Buffer by its toJSON
      const toBeSigned = foreignEncode(['Signature1', plain(header), new Uint8Array(0), plain(body)], { cde: true });
      expect(nodeVerify(null, toBeSigned, publicKey, signature)).toBe(true);
      expect(decode(body).get(-77_002)).toBe(sequence);
      expect(leaf(buffer(message)).toString('hex')).toBe(leafHash);
    }
  });

  test('checkpoints and REPORT_DATA', () => {
    let previous = '0'.repeat(128);
    for (const tick of ticks) {
      expect(root(leaves.slice(0, tick.size)).toString('hex')).toBe(tick.root);
      const [body, line] = tick.checkpoint.split('\n\n') as [string, string];
      expect(`${body}\n`).toBe(`${session.origin}\n${tick.size}\n${buffer(tick.root).toString('base64')}\n`);
      const signed = Buffer.from(line.slice(`— ${session.origin} `.length), 'base64');
      expect(signed.subarray(0, 4).toString('hex')).toBe(session.noteKeyId);
      expect(nodeVerify(null, Buffer.from(`${body}\n`), publicKey, signed.subarray(4))).toBe(true);
      const preimage = `veritee/report-data/v1\n${session.claimsSha256}\n${previous}\n${body}\n`;
      expect(tick.reportDataPreimage).toBe(preimage);
      expect(createHash('sha512').update(preimage).digest('hex')).toBe(tick.reportData);
      previous = tick.reportData;
    }
  });

  test('proofs', () => {
    const [h0, h1] = proofs.inclusionOf3In4.map(buffer) as [Buffer, Buffer];
    expect(node(h1, node(h0, leaves[3]!)).toString('hex')).toBe(ticks[0]!.root);
    const [g0, g1, g2] = proofs.inclusionOf3In7.map(buffer) as [Buffer, Buffer, Buffer];
    expect(node(node(g1, node(g0, leaves[3]!)), g2).toString('hex')).toBe(ticks[1]!.root);
    const [f0, f1] = proofs.inclusionOf6In7.map(buffer) as [Buffer, Buffer];
    expect(node(f1, node(f0, leaves[6]!)).toString('hex')).toBe(ticks[1]!.root);
    const [c, d, g, l] = proofs.consistencyFrom3To7.map(buffer) as [Buffer, Buffer, Buffer, Buffer];
    expect(node(g, c).toString('hex')).toBe(root(leaves.slice(0, 3)).toString('hex'));
    expect(node(node(g, node(c, d)), l).toString('hex')).toBe(ticks[1]!.root);
  });

  test('challenges', () => {
    const all = [nonces.first, nonces.second, nonces.third].map((nonce) => leaf(buffer(nonce)));
    expect(root(all).toString('hex')).toBe(nonces.root);
    const [a, b] = nonces.pathOfSecond.map(buffer) as [Buffer, Buffer];
    expect(node(node(a, all[1]!), b).toString('hex')).toBe(nonces.root);
    const claims = decode(buffer(entries[5]!.payload));
    expect(Buffer.from(claims.get(-77_019) as Uint8Array).toString('hex')).toBe(nonces.root);
    expect(claims.get(-77_020)).toBe(3);
    const config = decode(buffer(entries[2]!.payload)).get(-77_018) as Uint8Array;
    expect((claims.get(-77_021) as Uint8Array[]).map((digest) => Buffer.from(digest).toString('hex'))).toEqual([
      sha256(config).toString('hex'),
    ]);
  });

  test('files', () => {
    const text = (value: unknown) => Buffer.from(value as Uint8Array).toString('hex');
    const receipt = decode(buffer(files.receiptHardwareCommitted));
    expect([...receipt.keys()].sort()).toEqual(['evidence', 'path', 'profile', 'statement']);
    expect(text(receipt.get('statement'))).toBe(entries[3]!.message);
    expect(text(receipt.get('evidence'))).toBe(files.evidenceThatDoesNotVerify);
    expect((receipt.get('path') as Uint8Array[]).map(text)).toEqual(proofs.inclusionOf3In4);
    const early = decode(buffer(files.receiptSessionSigned));
    expect(early.get('path')).toBeNull();
    expect(text(early.get('evidenceReportData'))).toBe(ticks[0]!.reportData);
    const evidence = decode(buffer(files.evidenceThatDoesNotVerify));
    expect(evidence.get('checkpoint')).toBe(ticks[0]!.checkpoint);
    expect(text(evidence.get('sessionClaims'))).toBe(session.claims);
    expect(evidence.get('previousReportData')).toBeNull();
    const attestation = decode(buffer(files.attestationOfSecondNonce));
    const later = decode(attestation.get('evidence') as Uint8Array);
    expect(text(later.get('previousReportData'))).toBe(ticks[0]!.reportData);
    const challenge = attestation.get('challenge') as Map<string, unknown>;
    expect(text(challenge.get('nonce'))).toBe(nonces.second);
    expect((challenge.get('noncePath') as Uint8Array[]).map(text)).toEqual(nonces.pathOfSecond);
    expect(text(challenge.get('entry'))).toBe(entries[5]!.message);
  });
});
