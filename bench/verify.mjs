// Verifications per second of the public `assess` beside the bare signature checks that it contains, alternated in one run.
import { createPublicKey, verify as nodeVerify, X509Certificate } from 'node:crypto';
import { randomBytes } from 'node:crypto';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { generateVcekKey, simulatedEvidence } from '../attestation-fixtures/dist/index.js';

const ROUNDS = Number(process.env.ROUNDS ?? 7);
const CHIPS = Number(process.env.CHIPS ?? 200);
const REPORTS = Number(process.env.REPORTS ?? 10_000);
const THREADS = Number(process.env.THREADS ?? 2);
const AT = new Date('2026-06-01T12:00:00Z');
const PSS = { padding: 6, saltLength: 48 };
const dist = new URL('../verifier/dist/index.js', import.meta.url).href;
let instances = 0;
/** The verifier with nothing remembered. */
const fresh = () => import(`${dist}?instance=${instances++}`);

