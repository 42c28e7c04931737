# One image, two sizes: `web` for pages and workers, `train` with torch for trainers and the model server.
FROM node:22-slim AS front
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund

FROM python:3.12-slim AS web
ENV PYTHONUNBUFFERED=1 STUDIO_HOME=/var/lib/studio HF_HUB_DISABLE_TELEMETRY=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY studio studio
COPY annotation annotation
COPY training training
COPY benchmarks benchmarks
RUN pip install --no-cache-dir -c constraints.txt -e '.[s3]'
COPY templates templates
COPY --from=front /app/node_modules node_modules
RUN useradd --create-home studio && install -d -o studio /var/lib/studio
USER studio
VOLUME /var/lib/studio
EXPOSE 8000
CMD ["studio", "web", "--host", "0.0.0.0"]

FROM web AS train
USER root
RUN pip install --no-cache-dir -c constraints.txt -e '.[train,s3]'
USER studio
CMD ["studio", "trainer"]
