import type { ScopeJson } from '../retention/scope.ts';

export interface ReadmeFacts {
  readonly id: string;
  readonly createdAt: string;
  readonly scope: ScopeJson;
  readonly receipts: number;
  readonly withoutEvidence: number;
}

/** For the person who opens the zip. */
export const readmeOf = ({ id, createdAt, scope, receipts, withoutEvidence }: ReadmeFacts): string => `\
Receipts of attested inference, exported from archive ${id}
Made ${createdAt}; ${receipts} receipts; scope: ${Object.keys(scope).length === 0 ? 'everything' : JSON.stringify(scope)}
${withoutEvidence === 0 ? '' : `${withoutEvidence} receipts of this scope are left out: the archive has no evidence for them.\n`}
How to verify it, without a network and without installing anything
  In a browser: open verify.html and choose this zip file.
  With Node.js 20.19 or later, in the unpacked folder:  node verify.mjs
  or on the zip itself:                                 node verify.mjs FILE.zip
Options of verify.mjs:
  --archive ID         refuse an export of any other archive
  --policy FILE        appraise under your own policy instead of the archive's
  --trust-anchor FILE  trust this root too (may be given again)
  --json               one JSON object
Exit status 0: everything holds; 1: something does not, named in the output; 2: wrong options.

Whoever made this export also chose verify.html and verify.mjs. If you do not trust them, take the same two files from a
release of Veritee that you trust. Ask the archive's owner, by another way, for the archive's id, and pass it as --archive.
The hardware vendors' roots are built into the verifier. A root that only this bundle names proves no more than its maker's
word: the output says which platforms the evidence is of, and simulated ones prove nothing.

What is in it
  manifest.json        every file with its SHA-256; export.cose is the archive's signed act that holds the manifest's
                       SHA-256, export.tlog-proof its place in the archive's own log
  index.csv            one line per receipt: where it lies, and what the archive filed it under (tenant and retention class
                       are the archive's word, all else is in the receipt)
  receipts/            receipts, each behind its length as a big-endian 16-bit number; each has its own proof inside
  evidence/            hardware evidence by REPORT_DATA; certificates/ holds the certificates in it as DER
  policies/ anchors/ endorsements/ crls/ results/
                       what each piece of evidence was appraised with, and the result, by SHA-256
  acts/                the archive's acts that say so, purges of entries of the same logs, and timestamps, each with
                       its proof (C2SP tlog-proof)
  timestamps/          RFC 3161 tokens and what each is over: see below
  content/             salts and bodies, if they were asked for

Timestamps are checked with OpenSSL, with the authority's own root; N is the number of the act that recorded the token:
  openssl ts -verify -token_in -in timestamps/N.tst -data timestamps/N.data -CAfile ROOT.pem
N.data is the archive's head that the token is over (every act before it existed by then), or an older token that it renews.
All other times are claims of the enclave or the archive and decide nothing.
`;
