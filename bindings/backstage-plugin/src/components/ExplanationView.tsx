import { Text } from '@backstage/ui';

import type {
  Clause,
  Counterfactual,
  Explanation,
  PolicyExplanation,
  Residual,
} from '../answers.js';
import { Place } from './PolicyList.js';

const STATUS: Record<PolicyExplanation['status'], string> = {
  satisfied: 'applies',
  'held-back': 'is held back by its guard',
  'not-satisfied': 'does not apply',
  errored: 'cannot be evaluated',
};

/** Shows what every policy in question says, what comes nearest, and the smallest change. */
export function ExplanationView({ explanation }: { explanation: Explanation }) {
  const { policies, nearest, counterfactuals = [] } = explanation;
  return (
    <>
      {nearest.length > 0 && (
        <section aria-label="Nearest permits">
          <Text as="h3" variant="title-x-small">
            What comes nearest
          </Text>
          <ul className="stagedoor-list">
            {nearest.map(({ policy, file, line, url, doc, failed }) => (
              <li key={policy}>
                <strong>{policy}</strong>
                {file && (
                  <>
                    {', '}
                    <Place file={file} line={line} url={url} />
                  </>
                )}
                {doc && <div className="stagedoor-quiet">{doc}</div>}
                <div>does not hold:</div>
                <ClauseList clauses={failed} />
              </li>
            ))}
          </ul>
        </section>
      )}
      {counterfactuals.length > 0 && (
        <section aria-label="Smallest changes">
          <Text as="h3" variant="title-x-small">
            It would be allowed if
          </Text>
          <ul className="stagedoor-list">
            {counterfactuals.map(each => (
              <li key={JSON.stringify(each)}>
                <Changes counterfactual={each} />
              </li>
            ))}
          </ul>
        </section>
      )}
      <section aria-label="Policies in question">
        <Text as="h3" variant="title-x-small">
          What every policy says
        </Text>
        {policies.length === 0 && <p>No policy is about this permission.</p>}
        <ul className="stagedoor-list">
          {policies.map(policy => (
            <li key={policy.policy}>
              <strong>{policy.policy}</strong>
              {` ${policy.effect}s: it ${STATUS[policy.status]}`}
              {policy.file && (
                <>
                  {', '}
                  <Place
                    file={policy.file}
                    line={policy.line}
                    url={policy.url}
                  />
                </>
              )}
              {policy.doc && (
                <div className="stagedoor-quiet">{policy.doc}</div>
              )}
              {policy.message && <div>{policy.message}</div>}
              {policy.failed && (
                <>
                  <div>does not hold:</div>
                  <ClauseList clauses={[policy.failed]} />
                </>
              )}
              <ClauseList clauses={policy.held ?? []} />
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}

function ClauseList({ clauses }: { clauses: readonly Clause[] }) {
  if (!clauses.length) return null;
  return (
    <ul className="stagedoor-list">
      {clauses.map(clause => (
        <li key={JSON.stringify(clause)}>
          <code>{clause.text}</code>
          <Values values={clause.values ?? []} />
          {clause.alternatives?.map(alternative => (
            <div key={alternative.text}>
              {'holds: '}
              <code>{alternative.text}</code>
              <Values values={alternative.values ?? []} />
            </div>
          ))}
        </li>
      ))}
    </ul>
  );
}

function Values({
  values,
}: {
  values: readonly { expression: string; value: string | null }[];
}) {
  if (!values.length) return null;
  return (
    <dl className="stagedoor-values">
      {values.map(({ expression, value }) => (
        <div key={expression}>
          <dt>
            <code>{expression}</code>
          </dt>
          <dd>{value === null ? 'is not there' : <code>{value}</code>}</dd>
        </div>
      ))}
    </dl>
  );
}

const RELATIONS: Record<Counterfactual['changes'][number]['relation'], string> =
  {
    equal: 'were',
    'not-equal': 'were not',
    absent: 'were not there',
    in: 'were in',
    'not-in': 'were not in',
  };

function Changes({ counterfactual }: { counterfactual: Counterfactual }) {
  const { changes, permits } = counterfactual;
  return (
    <>
      {changes.map(({ subject, from, relation, to }, index) => (
        <span key={`${subject} ${to}`}>
          {index > 0 && ' and '}
          <code>{subject}</code> {RELATIONS[relation]}{' '}
          {to !== null && <code>{to}</code>}
          {from !== null && (
            <span className="stagedoor-quiet">
              {' (it is '}
              <code>{from}</code>)
            </span>
          )}
        </span>
      ))}
      {permits.length > 0 && (
        <span className="stagedoor-quiet">{`, by ${permits.join(', ')}`}</span>
      )}
    </>
  );
}

const APPLIES: Record<Residual['applies'], string> = {
  always: 'to every one',
  some: 'where this holds',
  never: 'to none',
  failed: 'not: it cannot be evaluated',
};

/** Shows what is left of each policy, whichever resource is meant. */
export function ResidualView({
  residuals,
}: {
  residuals: readonly Residual[];
}) {
  return (
    <section aria-label="Policies in question">
      <Text as="h3" variant="title-x-small">
        What every policy says, whichever resource is meant
      </Text>
      {residuals.length === 0 && <p>No policy is about this permission.</p>}
      <ul className="stagedoor-list">
        {residuals.map(residual => (
          <li key={residual.policy}>
            <strong>{residual.policy}</strong>
            {` ${residual.effect}s, and applies ${APPLIES[residual.applies]}, `}
            <Place
              file={residual.file}
              line={residual.line}
              url={residual.url}
            />
            {residual.doc && (
              <div className="stagedoor-quiet">{residual.doc}</div>
            )}
            {residual.condition && (
              <div>
                <code>{residual.condition}</code>
              </div>
            )}
            {residual.message && <div>{residual.message}</div>}
          </li>
        ))}
      </ul>
    </section>
  );
}
