#!/bin/sh
# Downloads Apache Kafka's jars from Maven Central to .venv/kafka/VERSION/lib, for the second ring of tests and bench/streams. Needs Java
# 17 or newer and Maven. 4.1.0 is the current version; 3.9.1 is the last one that accepts writes from old clients, such as the guide's. A
# second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
for version in 4.1.0 3.9.1; do
  folder=$(readlink -f .venv)/kafka/$version
  if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "kafka $version" ]; then
    echo "$folder is ready"
    continue
  fi
  rm -rf "$folder"
  mkdir -p "$folder"
  cat >"$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>aiot</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  # Maven Central sometimes responds with 429 to many requests at once. Downloaded jars are kept, so a retry completes the rest.
  for try in 1 2 3; do
    (cd "$folder" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib) && break
    [ "$try" = 3 ] && exit 1
    sleep 5
  done
  ls "$folder"/lib/kafka_2.13-"$version".jar >/dev/null
  echo "kafka $version" >"$folder/.stamp"
  echo "$folder is made"
done
