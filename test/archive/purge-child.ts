/** Purges in a process of its own, which ends itself with SIGKILL before the step that the environment names. */
import { openArchive } from '../../archive/archive.ts';
import { purgeScope } from '../../archive/retention/purge.ts';
import { scopeOf } from '../../archive/retention/scope.ts';

const [folder = '', killAt = '0'] = process.argv.slice(2);
let steps = 0;
let armed = false;
const archive = await openArchive(
  { folder, mode: 'write' },
  {
    by: 'child',
    onStep: () => {
      if (!armed) return;
      steps += 1;
      if (steps === Number(killAt)) process.kill(process.pid, 'SIGKILL');
    },
  },
);
armed = true;
await purgeScope(archive, scopeOf({ tenant: 'acme' }), { reason: 'the customer asked' });
await archive.close();
process.stdout.write(String(steps));
