import { useApi, useAppSearchParams } from '@backstage/frontend-plugin-api';
import { Alert, Container, Flex, Text } from '@backstage/ui';

import type { Why } from '../answers.js';
import { stagedoorApiRef } from '../api.js';
import { Answered } from '../components/Answered.js';
import {
  ExplanationView,
  ResidualView,
} from '../components/ExplanationView.js';
import { PermissionField } from '../components/PermissionField.js';
import { PolicyList } from '../components/PolicyList.js';
import { ProblemList } from '../components/ProblemList.js';
import { ReferenceField } from '../components/ReferenceField.js';
import { ResultBadge } from '../components/ResultBadge.js';
import { useAnswer } from '../useAnswer.js';
import '../styles.css';

/** Why somebody has a permission, or why not. What is asked stands in the page's address. */
export function WhyPage() {
  const api = useApi(stagedoorApiRef);
  const [params, setParams] = useAppSearchParams();
  const me = useAnswer('me', () => api.me());
  const permissions = useAnswer('permissions', () => api.access());
  const given = (name: string) => params.get(name) ?? '';
  const question = {
    permission: given('permission'),
    entity: given('entity'),
    user: given('user'),
    group: given('group'),
  };
  const set = (changes: Partial<typeof question>) => {
    const next = Object.entries({ ...question, ...changes });
    setParams(Object.fromEntries(next.filter(([, value]) => value)));
  };
  const why = useAnswer<Why>(
    question.permission ? JSON.stringify(question) : undefined,
    () => api.why(question),
  );
  const readsOthers = me.state === 'answered' && me.answer.readsOthers;
  const known =
    permissions.state === 'answered'
      ? permissions.answer.permissions.map(({ permission }) => permission)
      : [];
  return (
    <Container className="stagedoor-page">
      <Flex gap="3" align="start" className="stagedoor-controls">
        {readsOthers && (
          <ReferenceField
            label="Who"
            placeholder="you, user:default/name or group:default/name"
            value={question.user || question.group}
            onChange={who =>
              /^group:/i.test(who)
                ? set({ user: '', group: who })
                : set({ user: who, group: '' })
            }
          />
        )}
        <PermissionField
          permissions={known}
          value={question.permission}
          onChange={permission => set({ permission })}
        />
        <ReferenceField
          label="Entity"
          placeholder="whichever, or component:default/name"
          value={question.entity}
          onChange={entity => set({ entity })}
        />
      </Flex>
      <Answered asked={why}>{found => <WhyView why={found} />}</Answered>
      {!question.permission && <p>Choose a permission.</p>}
    </Container>
  );
}

/** Shows why somebody has a permission, or why not. */
export function WhyView({ why }: { why: Why }) {
  const { answer, because, near, explanation, residuals, result } = why;
  return (
    <article aria-label="Answer" data-result={result}>
      <Text as="h2" variant="title-small">
        {`${why.user} ${why.permission}${why.entity ? ` ${why.entity}` : ''}`}
      </Text>
      <p>
        <ResultBadge result={result} />{' '}
        {result === 'CONDITIONAL' && answer.words && `where ${answer.words}`}
      </p>
      {why.narrower && (
        <Alert
          status="warning"
          icon
          title="The policies allow it, and Backstage denies it"
          description="No rule of the plugin can say what the policies say: what cannot be said is denied."
        />
      )}
      {answer.errors.length > 0 && (
        <ul className="stagedoor-list" aria-label="Errors">
          {answer.errors.map(error => (
            <li key={error}>{error}</li>
          ))}
        </ul>
      )}
      <ProblemList problems={answer.findings} />
      {because.length > 0 ? (
        <section aria-label="Policies">
          <Text as="h3" variant="title-x-small">
            Because of
          </Text>
          <PolicyList policies={because} label="Policies it follows from" />
        </section>
      ) : (
        result === 'DENY' && <p>No policy permits it.</p>
      )}
      {explanation && <ExplanationView explanation={explanation} />}
      {!explanation && near.length > 0 && (
        <section aria-label="Nearest permits">
          <Text as="h3" variant="title-x-small">
            What comes nearest, and does not hold
          </Text>
          <PolicyList policies={near} label="Nearest permits" />
        </section>
      )}
      {residuals && <ResidualView residuals={residuals} />}
      <p className="stagedoor-quiet">
        Revision <code>{why.revision.slice(0, 12)}</code>
      </p>
    </article>
  );
}
