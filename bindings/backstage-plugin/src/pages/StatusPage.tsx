import { useApi } from '@backstage/frontend-plugin-api';
import { Alert, Button, Container, Text } from '@backstage/ui';
import { useState } from 'react';

import type { LoadStatus, Status } from '../answers.js';
import { stagedoorApiRef } from '../api.js';
import { Answered } from '../components/Answered.js';
import { useAnswer } from '../useAnswer.js';
import '../styles.css';

/** How the policies stand, and what was noticed since the backend started. */
export function StatusPage() {
  const api = useApi(stagedoorApiRef);
  const [times, setTimes] = useState(0);
  const status = useAnswer(`${times}`, () => api.status());
  return (
    <Container className="stagedoor-page">
      <Button variant="secondary" onPress={() => setTimes(times + 1)}>
        Read again
      </Button>
      <Answered asked={status}>
        {found => <StatusView status={found} />}
      </Answered>
    </Container>
  );
}

export function StatusView({ status }: { status: Status }) {
  const { policies, shadow, told, notices, latestDifferences } = status;
  const { plugins, catalogRule } = status;
  const counts = Object.entries(notices);
  return (
    <>
      <Loaded name="The policies" status={policies} />
      {shadow && <Loaded name="The shadow policies" status={shadow} />}
      <section aria-label="Noticed">
        <Text as="h3" variant="title-x-small">
          Denied, cut or unknown
        </Text>
        {counts.length === 0 && <p>Nothing was noticed since the start.</p>}
        <ul className="stagedoor-list" aria-label="Causes">
          {counts.map(([cause, times]) => (
            <li key={cause}>
              <code>{cause}</code>: {times}
            </li>
          ))}
        </ul>
        <ul className="stagedoor-list" aria-label="Notices">
          {told.map(({ code, message, times }) => (
            <li key={`${code} ${message}`}>
              {message} <span className="stagedoor-quiet">({times} times)</span>
            </li>
          ))}
        </ul>
      </section>
      {shadow && (
        <section aria-label="Shadow differences">
          <Text as="h3" variant="title-x-small">
            {`${status.shadowDifferences ?? 0} decisions that the shadow policies would make differently`}
          </Text>
          <ul className="stagedoor-list">
            {latestDifferences.map(each => (
              <li key={JSON.stringify(each)}>
                {`${each.user} ${each.permission}: ${each.result} by ${by(each.policies)}, ` +
                  `but ${each.shadowResult} by ${by(each.shadowPolicies)}`}
              </li>
            ))}
          </ul>
        </section>
      )}
      <p className="stagedoor-quiet">
        {plugins.length
          ? `Plugins that tell their permissions: ${plugins.join(', ')}.`
          : 'No plugin has told its permissions.'}
      </p>
      <p className="stagedoor-quiet">
        {catalogRule === null
          ? 'Single entities of the catalog are decided by the policies themselves, by its rule.'
          : `Entities of the catalog are decided by Backstage's own rules: ${catalogRule}.`}
      </p>
    </>
  );
}

function by(policies: readonly string[]): string {
  return policies.length ? policies.join(', ') : 'no policy';
}

function Loaded({ name, status }: { name: string; status: LoadStatus }) {
  const { ok, revision, failure } = status;
  const revisionText = revision && `revision ${revision}`;
  if (ok) {
    return (
      <Alert
        status="success"
        icon
        title={`${name} are in force`}
        description={revisionText}
      />
    );
  }
  return (
    <Alert
      status={revision ? 'warning' : 'danger'}
      icon
      title={
        revision
          ? `${name} in force are not those of the directory`
          : `${name} are not in force: everything is denied`
      }
      description={[failure, revisionText].filter(Boolean).join('; ')}
    />
  );
}
