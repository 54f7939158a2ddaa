# One image for the operator, the runtimes and the chart's hooks. `npm run image` prepares what is copied here and builds
# it: nothing runs inside the base, which needs Node 24 or newer and glibc, but neither a shell nor npm.
ARG BASE=node:26-slim
FROM ${BASE}

WORKDIR /midflight
# What changes least comes first.
COPY node_modules ./node_modules
COPY LICENSE package.json ./
COPY bin ./bin
COPY crds ./crds
COPY dist ./dist

# Where the usual images and distroless ones have Node.
ENV PATH=/usr/local/bin:/nodejs/bin:/usr/bin:/bin NODE_ENV=production
USER 65532:65532
ENTRYPOINT ["node", "/midflight/bin/midflight.js"]
