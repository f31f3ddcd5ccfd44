# docker build -t nstyle .
# docker build -t nstyle --build-arg ENGINE=torch --build-arg PYTHON=3.13 .
# docker build -t nstyle --build-arg ENGINE=cuda --build-arg PYTHON=3.13 .
#   the engine: MXNet (on x86-64 only), PyTorch for processors, or PyTorch with CUDA, to be run with --gpus all
#
# docker run --rm -p 127.0.0.1:7860:7860 -v "$PWD:/pictures" --user "$(id -u):$(id -g)" nstyle
#   the page, at http://localhost:7860; its runs go to ./output
# docker run --rm -v "$PWD:/pictures" --user "$(id -u):$(id -g)" nstyle nstyle photo.jpg painting.jpg -o out.png
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
ARG ENGINE=mxnet
COPY pyproject.toml setup.py requirements.txt requirements-page.txt requirements-torch.txt README.md LICENSE /nstyle/
COPY styletransfer /nstyle/styletransfer
COPY configs /nstyle/configs
COPY input /nstyle/input
COPY models /nstyle/models
COPY scripts /nstyle/scripts
WORKDIR /nstyle
RUN if [ "$ENGINE" = torch ]; then \
      pip install --no-cache-dir -r requirements-torch.txt --index-url https://download.pytorch.org/whl/cpu; \
    elif [ "$ENGINE" = cuda ]; then \
      pip install --no-cache-dir -r requirements-torch.txt; \
    fi \
    && pip install --no-cache-dir '.[page]' -c requirements.txt \
    && cd / && rm -r /nstyle \
    && chmod -R a+w "$(python -c 'import styletransfer; from models.spec import WEIGHTS_FOLDER; print(WEIGHTS_FOLDER)')"
ENV HOME=/tmp
WORKDIR /pictures
EXPOSE 7860
CMD ["nstyle", "page", "--host", "0.0.0.0", "--output", "output", "--no-browser"]
