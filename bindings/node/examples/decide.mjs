// Decides whether somebody may deploy, and says why not.
// Run: node examples/decide.mjs
import { Engine, Entities } from '@stagedoor/node';

const engine = await Engine.load({
  texts: [
    {
      name: 'shop.cedarschema',
      text: `
        entity Team;
        entity User in [Team];
        entity Service = { tier: String };
        action deploy appliesTo { principal: User, resource: Service, context: { mfa?: Bool } };`,
    },
    {
      name: 'shop.cedar',
      text: `
        @id("team-deploys")
        permit (principal in Team::"payments", action == Action::"deploy", resource);

        @id("gold-needs-mfa")
        forbid (principal, action == Action::"deploy", resource)
        when { resource.tier == "gold" }
        unless { context has mfa && context.mfa };`,
    },
  ],
});

// Who is in which team changes seldom: it is read once and shared by all decisions.
const people = new Entities([{ uid: 'User::"ana"', parents: ['Team::"payments"'] }]);

const request = {
  principal: 'User::"ana"',
  action: 'Action::"deploy"',
  resource: 'Service::"ledger"',
  entities: [{ uid: 'Service::"ledger"', attrs: { tier: 'gold' } }],
};
console.log('without a second factor:', engine.decide(request, people).decision);
console.log('because of:', engine.decide(request, people).reasons.join(', '));
console.log('with one:', engine.decide({ ...request, context: { mfa: true } }, people).decision);

/* Prints:
without a second factor: deny
because of: gold-needs-mfa
with one: allow
*/
