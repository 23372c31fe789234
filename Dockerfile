# docker build -t bitdial . && docker run --rm -p 8501:8501 bitdial
FROM python:3.11-slim

# The CPU build of torch; build with --build-arg PIP_EXTRA_INDEX_URL= for the CUDA one.
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

RUN useradd --create-home bitdial
WORKDIR /home/bitdial/app
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt
COPY --chown=bitdial:bitdial . .
RUN chown bitdial:bitdial .
USER bitdial

EXPOSE 8501
HEALTHCHECK --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://localhost:8501/_stcore/health')"]
CMD ["python", "-m", "streamlit", "run", "app.py", "--server.address=0.0.0.0"]
