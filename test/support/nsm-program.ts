/** What `main.ts` does in the thread of /dev/nsm, and nothing else. */
import { serveNsm } from '../../enclave/attester/nsm-thread.ts';

await serveNsm();
