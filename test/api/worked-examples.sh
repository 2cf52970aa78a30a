#!/bin/bash
# The examples of the SPS contract (section 12) and of the vendor's own guide as they are written there, but for hosts and
# ids, each answer as one line: name, status, body. Run in an empty folder, where J and cookies are the jars.
#   H         https://host:port of the gate; its admin has the password "secret"
#   SESSION   the id of a session that runs, SEED_SESSION that of another
#   OPS       the group that may close sessions, as its key
# CURL_CA_BUNDLE names the gate's authority for the commands that have no -k.
set -u

curl() { command curl -sS --max-time 60 -w '\n%{http_code}' "$@"; }
say() { printf '%s\t%s\t%s\n' "$1" "${2##*$'\n'}" "${2%$'\n'*}"; }
key() { sed -E 's/.*"key":"([^"]+)".*/\1/; q' <<<"$1"; }

# Section 12.
say 1 "$(curl -k -c J -u admin:secret $H/api/authentication)"
say 1-jar "$(grep -c session_id J)"$'\n'0
say 2 "$(curl -k $H/api/configuration/aaa/local_database)"
say 3 "$(curl -k -b J $H/api/configuration/aaa/local_database/users)"
say 4 "$(curl -k -b J -X POST -H 'Content-Type: application/json' $H/api/configuration/aaa/local_database/groups --data '{"name":"ops","members":[]}')"
say 5 "$(curl -k -b J -X POST -H 'Content-Length: 0' $H/api/transaction)"
R=$(curl -k -b J -X POST -H 'Content-Type: application/json' $H/api/configuration/passwords --data '{"plain":"n3w-Passw0rd"}')
say 6-password "$R"
PASSWORD=$(key "$R")
R=$(curl -k -b J -X POST -H 'Content-Type: application/json' $H/api/configuration/aaa/local_database/users --data '{"name":"user1","password":"'$PASSWORD'"}')
say 6-user "$R"
USER1=$(key "$R")
say 6-again "$(curl -k -b J -X POST -H 'Content-Type: application/json' $H/api/configuration/aaa/local_database/users --data '{"name":"user2","password":"'$PASSWORD'"}')"
say 7-changes "$(curl -k -b J $H/api/transaction/changes)"
say 7-member "$(curl -k -b J -X PUT -H 'Content-Type: application/json' $H/api/configuration/aaa/local_database/groups/$OPS --data '{"name":"session-ops","members":["'$USER1'"]}')"
say 7-commit "$(curl -k -b J -X PUT -H 'Content-Type: application/json' $H/api/transaction --data '{"status":"commit"}')"
say 8 "$(curl -k -b J $H/api/configuration/aaa/local_database/users/$USER1)"
say 9-login "$(curl -k -c J1 -u user1:n3w-Passw0rd $H/api/authentication)"
say 9-closed "$(curl -k -b J1 -X DELETE "$H/api/active-sessions?id=$SESSION")"
say 9-again "$(curl -k -b J1 -X DELETE "$H/api/active-sessions?id=$SESSION")"
say 9-no-id "$(curl -k -b J1 -X DELETE "$H/api/active-sessions")"
say 9-other "$(curl -k -c J2 -u other:other-Passw0rd $H/api/authentication)"
say 9-no-right "$(curl -k -b J2 -X DELETE "$H/api/active-sessions?id=$SEED_SESSION")"
say 10 "$(curl -k -b J "$H/api/audit/sessions?q=active:true&fields=protocol,client,recording.session_id&limit=10")"
say 10-logout "$(curl -k -b J -X DELETE $H/api/authentication)"
say 10-dead "$(curl -k -b J $H/api/configuration/aaa/local_database/users)"

# The guide. Its first command asks for the password, which stands here behind the colon.
say seed-login "$(curl --user admin:secret --cookie-jar cookies $H/api/authentication)"
say seed-acls "$(curl --cookie cookies $H/api/configuration/aaa/acls)"
say seed-database "$(curl --cookie cookies $H/api/configuration/aaa/local_database)"
say seed-groups "$(curl --cookie cookies $H/api/configuration/aaa/local_database/groups)"
say seed-users "$(curl --cookie cookies $H/api/configuration/aaa/local_database/users)"
say seed-user "$(curl --cookie cookies $H/api/configuration/aaa/local_database/users/$USER1)"
say seed-open "$(curl -X POST -H "Content-Type: application/json" -H "Content-Length: 0" --cookie cookies $H/api/transaction)"
R=$(curl -X POST -H "Content-Type: application/json" --cookie cookies $H/api/configuration/passwords --data '{"plain": "an0ther-Passw0rd"}')
say seed-password "$R"
R=$(curl -X POST -H "Content-Type: application/json" --cookie cookies $H/api/configuration/aaa/local_database/users --data '{"name": "testuser", "password": "'$(key "$R")'"}')
say seed-new-user "$R"
TESTUSER=$(key "$R")
R=$(curl -X POST -H "Content-Type: application/json" --cookie cookies $H/api/configuration/aaa/local_database/groups --data '{"name": "new-usergroup", "members": ["'$USER1'", "'$TESTUSER'"]}')
say seed-new-group "$R"
GROUP=$(key "$R")
say seed-group "$(curl --cookie cookies $H/api/configuration/aaa/local_database/groups/$GROUP)"
say seed-less "$(curl -X PUT -H "Content-Type: application/json" --cookie cookies $H/api/configuration/aaa/local_database/groups/$GROUP --data '{"name": "new-usergroup", "members": ["'$TESTUSER'"]}')"
say seed-commit "$(curl -X PUT -H "Content-Type: application/json" --cookie cookies $H/api/transaction --data '{"status": "commit"}')"
say seed-after "$(curl --cookie cookies $H/api/configuration/aaa/local_database/groups/$GROUP)"
say seed-open-again "$(curl -X POST -H "Content-Length: 0" --cookie cookies $H/api/transaction)"
say seed-delete "$(curl -X DELETE --cookie cookies $H/api/configuration/aaa/local_database/groups/$GROUP)"
say seed-commit-again "$(curl -X PUT -H "Content-Type: application/json" --cookie cookies $H/api/transaction --data '{"status": "commit"}')"
say seed-gone "$(curl --cookie cookies $H/api/configuration/aaa/local_database/groups/$GROUP)"
say seed-user1 "$(curl -k --user user1:n3w-Passw0rd --cookie-jar cookie $H/api/authentication)"
say seed-close "$(curl -k --cookie cookie $H/api/active-sessions?id=$SEED_SESSION -X DELETE)"
