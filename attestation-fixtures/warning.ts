/** Printed by whatever starts a simulated platform. */
export const SIMULATED_WARNING = [
  'SIMULATED PLATFORM: this is NOT a confidential VM, and no AMD chip is involved.',
  'The attestation reports have the real format, but a program signs them with keys it made up and keeps in a file.',
  'They prove nothing about this machine: whoever can read the memory or the files here can read your data and forge a report.',
  'Use it to develop and to test. Nothing trusts its root certificate unless you name that file as a trust anchor.',
].join('\n');

/** Stands before the certificate in the root's PEM file; PEM readers skip text outside the BEGIN and END lines. */
export const SIMULATED_PEM_COMMENT = [
  'VERITEE SIMULATED PLATFORM: NOT AMD. Anyone can sign with this key.',
  'The certificate below copies the names and dates of an AMD root, but AMD did not make it.',
  'Trust it only to try Veritee out.',
  '',
].join('\n');
