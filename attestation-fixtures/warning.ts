const warning = (platform: string, maker: string, evidence: string): string =>
  [
    `SIMULATED PLATFORM: this is NOT ${platform}, and no ${maker} is involved.`,
    `The ${evidence} have the real format, but a program signs them with keys it made up and keeps in a file.`,
    'They prove nothing about this machine: whoever can read the memory or the files here can read your data and forge a report.',
    'Use it to develop and to test. Nothing trusts its root certificate unless you name that file as a trust anchor.',
  ].join('\n');

/** Printed by whatever starts a simulated SEV-SNP platform. */
export const SIMULATED_WARNING = warning('a confidential VM', 'AMD chip', 'attestation reports');

/** Printed by whatever starts a simulated Nitro platform. */
export const SIMULATED_NITRO_WARNING = warning('a Nitro enclave', 'AWS hypervisor', 'attestation documents');

/** Stands before the certificate in a root's PEM file; PEM readers skip text outside the BEGIN and END lines. */
const pemComment = (maker: string): string =>
  [
    `VERITEE SIMULATED PLATFORM: NOT ${maker}. Anyone can sign with this key.`,
    `The certificate below copies the names and dates of an ${maker} root, but ${maker} did not make it.`,
    'Trust it only to try Veritee out.',
    '',
  ].join('\n');

export const SIMULATED_PEM_COMMENT = pemComment('AMD');
export const SIMULATED_NITRO_PEM_COMMENT = pemComment('AWS');
